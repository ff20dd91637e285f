"""The batch transport on a real broker: nothing is lost, and commits are exact."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from config.settings import KafkaSettings
from streams.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

PARTITIONS = 4
GROUP = "vedette-copying"


class Workers:
    """Copying workers of one topic, each a process with its own output file."""

    def __init__(self, broker: str, home: Path, topic: str) -> None:
        self._broker, self._home, self._topic = broker, home, topic
        self._count = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, behaviour: str = "copy") -> subprocess.Popen[bytes]:
        self._count += 1
        environment = {
            **os.environ,
            "VEDETTE_HOME": str(self._home),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": self._broker,
            "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
            "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
            "VEDETTE_KAFKA__FETCH_MAX_BYTES": "65536",
        }
        output = self._home / f"{self._count}.out"
        with (self._home / f"{self._count}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.copying", self._topic, output, behaviour],
                env=environment,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def lines(self) -> list[bytes]:
        return [
            line
            for output in self._home.glob("*.out")
            for line in output.read_bytes().split(b"\n")[:-1]
        ]

    def log(self, number: int) -> str:
        return (self._home / f"{number}.log").read_text()


@contextmanager
def running(broker: str, home: Path, topic: str) -> Iterator[Workers]:
    workers = Workers(broker, home, topic)
    try:
        yield workers
    finally:
        for process in workers.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


async def make_topic(broker: str) -> str:
    name = f"test.transport.{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()
    return name


async def produce(broker: str, topic: str, values: list[bytes]) -> None:
    producer = Producer(KafkaSettings(bootstrap_servers=broker))
    await producer.start()
    try:
        futures = [
            await producer.send(topic, value, partition=number % PARTITIONS)
            for number, value in enumerate(values)
        ]
        await asyncio.gather(*futures)
    finally:
        await producer.stop()


async def offsets(broker: str, topic: str) -> dict[int, tuple[int, int]]:
    """Return (committed, end) of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        return {tp.partition: (await consumer.committed(tp) or 0, ends[tp]) for tp in partitions}
    finally:
        await consumer.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        await asyncio.sleep(0.1)


def numbered(count: int) -> list[bytes]:
    return [b"%08d" % number + b"x" * 500 for number in range(count)]


async def all_committed(broker: str, topic: str) -> bool:
    return all(committed == end for committed, end in (await offsets(broker, topic)).values())


async def until_committed(broker: str, topic: str, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await all_committed(broker, topic):
        assert time.monotonic() < deadline, "not everything was committed in time"
        await asyncio.sleep(0.5)


async def test_kill_join_and_stop_lose_nothing_and_commit_exactly(
    broker: str, tmp_path: Path
) -> None:
    topic = await make_topic(broker)
    values = numbered(20_000)
    await produce(broker, topic, values)
    with running(broker, tmp_path, topic) as workers:
        first = workers.start()
        await until(lambda: len(workers.lines()) > 2_000)
        first.kill()
        first.wait()
        second = workers.start()
        await asyncio.sleep(1)
        third = workers.start()
        await until(lambda: set(values) <= set(workers.lines()), 90)
        # The second alone may have done it all before the third had even joined.
        await until(lambda: "partitions assigned" in workers.log(3), 90)
        # What a rebalance interrupted is read and committed again by the new owner.
        await until_committed(broker, topic)
        for worker in (second, third):
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in (second, third)] == [0, 0]
        assert set(workers.lines()) == set(values)
    assert await all_committed(broker, topic)


async def test_held_acknowledgements_are_committed_before_the_worker_leaves(
    broker: str, tmp_path: Path
) -> None:
    topic = await make_topic(broker)
    values = numbered(2_000)
    await produce(broker, topic, values)
    with running(broker, tmp_path, topic) as workers:
        worker = workers.start("held")
        await until(lambda: len(workers.lines()) == len(values))
        assert all(committed == 0 for committed, _ in (await offsets(broker, topic)).values())
        joined = workers.start("held")
        await until(lambda: "partitions assigned" in workers.log(2))
        for process in (worker, joined):
            process.terminate()
        assert [process.wait(60) for process in (worker, joined)] == [0, 0]
        assert len(workers.lines()) == len(values)
    assert all(committed == end for committed, end in (await offsets(broker, topic)).values())


async def test_an_exception_stops_the_worker_and_its_chunk_is_read_again(
    broker: str, tmp_path: Path
) -> None:
    topic = await make_topic(broker)
    before, after = numbered(400), [b"poison", *numbered(404)[400:]]
    await produce(broker, topic, before)
    with running(broker, tmp_path, topic) as workers:
        failing = workers.start("poison")
        await until(lambda: len(workers.lines()) == len(before))
        await until_committed(broker, topic)  # who stops may not get to its last commit
        await produce(broker, topic, after)
        assert failing.wait(60) not in (0, None)
        assert "must not be logged" not in workers.log(1)
        assert "KeyError" in workers.log(1)
        assert (await offsets(broker, topic))[0][0] == len(before) // PARTITIONS
        healthy = workers.start()
        await until(lambda: set(workers.lines()) == {*before, *after})
        healthy.terminate()
        assert healthy.wait(60) == 0


async def test_a_fatal_group_error_stops_the_worker(broker: str, tmp_path: Path) -> None:
    topic = await make_topic(broker)
    with running(broker, tmp_path, topic) as workers:
        worker = workers.start("unauthorised")
        assert await asyncio.to_thread(worker.wait, 60) not in (0, None)
        assert "GroupAuthorizationFailed" in workers.log(1)
