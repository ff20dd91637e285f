"""Ingest on a real broker: what is good arrives once, what is bad lies in the dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import TopicPartition

from streams.frames import decode_frame
from streams.topics import INTERACTIONS, dlq
from tests.unit.decode.records import (
    BROKER_MS,
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    headers_of,
)
from tests.unit.decode.test_refusals import BAD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
COMMAND = (
    "import sys; from config.settings import load_settings; from streams.roles.ingest import make; "
    "from streams.runtime import run_role; s = load_settings(); sys.exit(run_role(make(s), s))"
)
PARTITIONS = 2
WITHIN_S = 60.0


@pytest.fixture
async def topic(broker: str) -> str:
    """A source topic of our own, with its dead letters."""
    name = f"it.ingest.{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        for topic, partitions in ((name, PARTITIONS), (dlq(name), 1), (INTERACTIONS, 4)):
            limits = {"max.message.bytes": str(8 << 20), "retention.ms": "-1"}
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=limits)])
    finally:
        await admin.close()
    return name


class Worker:
    """The ingest role in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND], cwd=ROOT, env={**os.environ, **self._environment}
        )

    def end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)


@pytest.fixture
def worker(broker: str, topic: str, tmp_path: Path) -> Iterator[Worker]:
    instance = Worker(
        {
            "VEDETTE_HOME": str(tmp_path),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
            "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
            "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
            "VEDETTE_INGEST__TOPICS": json.dumps([topic]),
            "VEDETTE_INGEST__JOIN_TIMEOUT_S": "30",
            "VEDETTE_INGEST__SNAPSHOT_INTERVAL_S": "0.3",
        }
    )
    yield instance
    instance.end(signal.SIGKILL)


@pytest.fixture
async def producer(broker: str) -> AsyncIterator[AIOKafkaProducer]:
    instance = AIOKafkaProducer(bootstrap_servers=broker, max_request_size=8 << 20)
    await instance.start()
    yield instance
    await instance.stop()


async def read_until(broker: str, name: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Read a topic from its beginning until there is enough of it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    records: list[Any] = []
    try:
        numbers = await consumer._client.force_metadata_update() and consumer.partitions_for_topic(
            name
        )
        consumer.assign([TopicPartition(name, number) for number in numbers or {0}])
        deadline_s = time.monotonic() + WITHIN_S
        while not enough(records) and time.monotonic() < deadline_s:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
    finally:
        await consumer.stop()
    return records


class Reader:
    """Gathers the interactions of one topic, dropping positions that it has passed."""

    def __init__(self, topic: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._topic = topic
        self._frames = 0
        self._passed: dict[tuple[int, int], tuple[int, int]] = {}

    def has(self, count: int, records: list[Any]) -> bool:
        """Take the frames that are new in ``records``, and say whether there are enough rows."""
        for frame in records[self._frames :]:
            batch = decode_frame(frame.value)
            if batch["source"][0].as_py() == self._topic:
                for row in batch.to_pylist():
                    self._take(frame.partition, row)
        self._frames = len(records)
        return len(self.rows) >= count

    def _take(self, partition: int, row: dict[str, Any]) -> None:
        stream = (partition, row["source_partition"])
        position = (row["source_offset"], row["source_index"])
        if position > self._passed.get(stream, (-1, -1)):
            self._passed[stream] = position
            self.rows.append(row)


async def test_each_bad_record_lies_alone_in_the_dead_letters(
    broker: str, topic: str, worker: Worker, producer: AIOKafkaProducer
) -> None:
    worker.start()
    expected = {}
    for number, (reason, bad) in enumerate(BAD.values()):
        tag = ("it-number", str(number).encode())
        await producer.send(
            topic,
            bad.value,
            key=bad.key,
            partition=0,
            headers=[*bad.headers, tag],
            timestamp_ms=BROKER_MS,
        )
        await producer.send(
            topic,
            json.dumps(EVENT).encode(),
            partition=0,
            headers=headers_of(),
            timestamp_ms=BROKER_MS,
        )
        expected[number] = (reason, bad.value, list(bad.headers))
    await producer.flush()
    letters = await read_until(broker, dlq(topic), lambda records: len(records) >= len(BAD))
    found = {}
    for letter in letters:
        headers = dict(letter.headers)
        own = [name for name, _ in letter.headers].index("it-number")
        reason = headers["vedette-error-class"].decode()
        assert headers["__dlq.errors.topic"].decode() == topic
        found[int(headers["it-number"])] = (reason, letter.value, list(letter.headers[:own]))
    assert found == expected
    reader = Reader(topic)
    await read_until(broker, INTERACTIONS, lambda records: reader.has(len(BAD), records))
    assert len(reader.rows) == len(BAD)
    assert worker.end(signal.SIGTERM) == 0


async def test_halves_join_across_kills(
    broker: str, topic: str, worker: Worker, producer: AIOKafkaProducer
) -> None:
    worker.start()
    pairs = 300

    async def post(kind: str, body: Any, number: int) -> None:
        changes = {"type": kind, "id": f"r{number}", "time": None, "client": f"c{number % 9}"}
        await producer.send(
            topic,
            json.dumps(body).encode(),
            partition=number % PARTITIONS,
            headers=headers_of(changes),
        )

    for number in range(pairs):
        await post(REQUEST_TYPE, REQUEST, number)
        if number >= 20:
            await post(RESPONSE_TYPE, RESPONSE, number - 20)
        if number in (80, 160, 240):
            await producer.flush()
            await asyncio.sleep(2.5)
            worker.end(signal.SIGKILL)
            worker.start()
    for number in range(pairs - 20, pairs):
        await post(RESPONSE_TYPE, RESPONSE, number)
    await producer.flush()
    reader = Reader(topic)
    await read_until(broker, INTERACTIONS, lambda records: reader.has(pairs, records))
    rows = reader.rows
    assert len({row["id"] for row in rows}) == len(rows) == pairs
    assert all(row["label"] == 1 and row["input"] and row["params"] is None for row in rows)
    assert worker.end(signal.SIGTERM) == 0
