"""A new key of the pseudonyms while traffic goes on: nothing is lost, doubled or let in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from streams.identity import load_pseudonyms
from streams.topics import INTERACTIONS, VERDICTS
from streams.verdicts.client import VerdictClient
from tests.integration.ingesting import (
    PARTITIONS,
    ROOT,
    Reader,
    Worker,
    create_topics,
    read_until,
    settings_of,
)
from tests.unit.decode.records import (
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    headers_of,
)
from tests.unit.verdicts.test_table import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from config.settings import Settings

pytestmark = pytest.mark.kafka

CLIENTS = [f"c{number}" for number in range(3)]
#: How many steps an answer comes after its question.
DISTANCE = 200


class Traffic:
    """Whole calls, and halves that lie far apart, until told to stop."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self.steps = 0
        self._producer, self._topic = producer, topic
        self._over = asyncio.Event()

    async def run(self) -> None:
        while not self._over.is_set():
            await self._whole(self.steps)
            await self._half(REQUEST_TYPE, REQUEST, self.steps)
            if self.steps >= DISTANCE:
                await self._half(RESPONSE_TYPE, RESPONSE, self.steps - DISTANCE)
            self.steps += 1
            await asyncio.sleep(0.01)
        for number in range(max(0, self.steps - DISTANCE), self.steps):
            await self._half(RESPONSE_TYPE, RESPONSE, number)
        await self._producer.flush()

    def stop(self) -> None:
        self._over.set()

    async def _whole(self, number: int) -> None:
        await self._send(EVENT, number, {"id": f"w{number}"})

    async def _half(self, kind: str, body: Any, number: int) -> None:
        await self._send(body, number, {"id": f"r{number}", "type": kind})

    async def _send(self, body: Any, number: int, changes: dict[str, Any]) -> None:
        client = CLIENTS[number % len(CLIENTS)]
        await self._producer.send(
            self._topic,
            json.dumps(body).encode(),
            partition=number % PARTITIONS,
            headers=headers_of({**changes, "client": client, "time": None}),
        )


@pytest.fixture
def environment(broker: str, tmp_path: Path) -> dict[str, str]:
    return {
        **settings_of(broker, tmp_path),
        "VEDETTE_INGEST__SNAPSHOT_INTERVAL_S": "0.3",
    }


@pytest.fixture
def workers(environment: dict[str, str]) -> Iterator[list[Worker]]:
    """Two workers, which share the partitions; a list, for they are replaced."""
    running: list[Worker] = []
    yield running
    for worker in running:
        worker.end(signal.SIGKILL)


def start(environment: dict[str, str], topic: str, epoch: int) -> Worker:
    topics = {"VEDETTE_INGEST__TOPICS": json.dumps([topic])}
    worker = Worker({**environment, **topics, "VEDETTE_PSEUDONYM_EPOCH": str(epoch)})
    worker.start()
    return worker


def pseudonyms(environment: dict[str, str], client: str) -> list[str]:
    """What the command says of a client, once the key is the second one."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", "pseudonym", "client", client, "--past"],
        cwd=ROOT, env={**os.environ, **environment, "VEDETTE_PSEUDONYM_EPOCH": "2"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.split()


async def test_workers_take_a_new_key_one_after_the_other_while_traffic_goes_on(
    broker: str, environment: dict[str, str], workers: list[Worker]
) -> None:
    topic = f"it.rotation.{uuid.uuid4().hex[:8]}"
    await create_topics(broker, topic)
    workers += [start(environment, topic, 1), start(environment, topic, 1)]
    reader = Reader(topic)
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        traffic = Traffic(producer, topic)
        posting = asyncio.create_task(traffic.run())
        await read_until(broker, INTERACTIONS, lambda found: reader.has(2 * DISTANCE, found))
        for place in range(2):
            assert await asyncio.to_thread(workers[place].end, signal.SIGTERM) == 0
            workers[place] = start(environment, topic, 2)
            await asyncio.sleep(1)
        new = Reader(topic)
        await read_until(broker, INTERACTIONS, lambda found: new.has(0, found) and _both(new.rows))
        traffic.stop()
        await posting
    everything = Reader(topic)
    wanted = 2 * traffic.steps
    await read_until(broker, INTERACTIONS, lambda found: everything.has(wanted, found))
    rows = everything.rows
    assert len({row["id"] for row in rows}) == len(rows) == wanted
    assert all(row["label"] == 1 and row["input"] and row["params"] is None for row in rows)
    names = [tuple(pseudonyms(environment, client)) for client in CLIENTS]
    assert {row["client"] for row in rows} == {name for both in names for name in both}
    for partition in range(PARTITIONS):
        _check_order([row for row in rows if row["source_partition"] == partition])


def _both(rows: list[dict[str, Any]]) -> bool:
    """Say whether every partition has brought clients under the new key."""
    new = {row["source_partition"] for row in rows if row["client"].startswith("u2_")}
    return len(new) == PARTITIONS


def _check_order(rows: list[dict[str, Any]]) -> None:
    """The new key comes at one place; a call that was asked before is named by the old one."""
    rows.sort(key=lambda row: row["source_offset"])
    asked: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        asked[row["client"][:3]].append(int(row["id"].split("-")[-2]))
    assert max(asked["u1_"]) < min(asked["u2_"])
    first = min(row["source_offset"] for row in rows if row["client"].startswith("u2_"))
    straddling = [row for row in rows if row["source_offset"] > first and row["client"][1] == "1"]
    assert straddling


async def test_who_was_blocked_under_the_old_key_stays_so_under_the_new_one(
    broker: str, settings: Settings
) -> None:
    name = f"mallory-{uuid.uuid4().hex}"
    blocked = verdict(
        load_pseudonyms(settings).of("client", name), until="2999-01-01T00:00:00.000000Z"
    )
    async with AIOKafkaProducer(bootstrap_servers=broker, acks="all") as producer:
        await producer.send_and_wait(
            VERDICTS, msgspec.json.encode(blocked), key=blocked.client.encode()
        )

    def ask(epoch: int) -> str:
        with VerdictClient(settings.model_copy(update={"pseudonym_epoch": epoch})) as verdicts:
            verdicts.wait()
            return verdicts.of_name(name).action

    assert [await asyncio.to_thread(ask, epoch) for epoch in (1, 2)] == ["block", "block"]
