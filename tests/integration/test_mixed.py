"""Mixed traffic with kill -9 at random: every event is accounted for, exactly once."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from streams.topics import INTERACTIONS, dlq
from tests.integration.ingesting import (
    LONG,
    PARTITIONS,
    Worker,
    create_topics,
    frame_of,
    settings_of,
)
from tests.unit.decode.producers import CALL
from tests.unit.decode.records import EVENT, REQUEST, REQUEST_TYPE, RESPONSE, RESPONSE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

BAD = 0.05
REORDERED = 0.10
DUPLICATED = 0.01
HALVES = 0.5
#: Posts of LiteLLM with three calls, one of them bad.
BATCHES = 0.02
#: A half is this many records behind the other at most.
DISTANCE = 50


class Sent(NamedTuple):
    """A record as it was sent, and how many events of which kind it brings."""

    kinds: dict[str, int]
    number: int
    headers: list[tuple[str, bytes]]
    body: bytes

    def again(self) -> Sent:
        """The same record, sent again: what was good of it is a duplicate."""
        bad = self.kinds.get("bad", 0)
        good = sum(self.kinds.values()) - bad
        return self._replace(kinds={"duplicate": good, "bad": bad})


def headers_of(kind: str, number: int) -> list[tuple[str, bytes]]:
    attributes = {
        "specversion": "1.0", "type": kind, "source": "s", "id": f"r{number}",
        "client": f"c{number % 97}", "model": "m",
    }  # fmt: skip
    return [(f"ce_{name}", text.encode()) for name, text in attributes.items()]


BODIES = {
    kind: json.dumps(body).encode()
    for kind, body in (("whole", EVENT), ("request", REQUEST), ("response", RESPONSE))
}
TYPES = {
    "whole": "io.vedette.inference.v1",
    "request": REQUEST_TYPE,
    "response": RESPONSE_TYPE,
}


def one(kind: str, number: int) -> Sent:
    return Sent({kind: 1}, number, headers_of(TYPES[kind], number), BODIES[kind])


def posted(number: int, begun_s: float) -> Sent:
    """Three calls as LiteLLM posts them, one of which began in another century."""
    calls = [
        {**CALL, "id": f"l{number}-{place}", "startTime": begun_s if place != 1 else 1.0}
        for place in range(3)
    ]
    return Sent({"whole": 2, "bad": 1}, number, [], json.dumps(calls).encode())


class Traffic:
    """Whole calls, halves in either order, batches with a bad call, duplicates, bad records."""

    def __init__(self, count: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._count = count
        self._made = 0
        self._begun_s = time.time()
        self._later: list[tuple[int, Sent]] = []

    def __iter__(self) -> Iterator[Sent]:
        number = 0
        while self._made < self._count or self._later:
            yield from self._due()
            if self._made < self._count:
                number += 1
                self._made += 1
                sent = self._next(number)
                if "response" not in sent.kinds and self._rng.random() < DUPLICATED:
                    self._send_later(sent.again())
                yield sent

    def _due(self) -> list[Sent]:
        over = self._made >= self._count
        due = [item for item in self._later if item[0] <= self._made or over]
        for item in due:
            self._later.remove(item)
        self._made += len(due)
        return [sent for _, sent in due]

    def _send_later(self, sent: Sent) -> None:
        self._later.append((self._made + self._rng.randrange(1, DISTANCE), sent))

    def _next(self, number: int) -> Sent:
        chance = self._rng.random()
        if chance < BAD:
            headers = headers_of(TYPES["whole"], number)
            return Sent({"bad": 1}, number, headers, BODIES["whole"][:-9])
        if chance > 1 - BATCHES:
            return posted(number, self._begun_s)
        if chance > BAD + HALVES:
            return one("whole", number)
        halves = ["request", "response"]
        if self._rng.random() < REORDERED:
            halves.reverse()
        self._send_later(one(halves[1], number))
        return one(halves[0], number)


class Books:
    """What went in, and what came out."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.dead: set[tuple[bytes | None, ...]] = set()
        self.rows = 0
        self.alone = 0
        self._passed: dict[tuple[int, str, int], tuple[int, int]] = {}

    def send(self, sent: Sent) -> None:
        """Count what goes in."""
        for kind, count in sent.kinds.items():
            self.sent[kind] = self.sent.get(kind, 0) + count

    def take_letter(self, headers: dict[str, bytes]) -> None:
        """Count a dead letter, once for each thing that was refused."""
        origin = ("__dlq.errors.partition", "__dlq.errors.offset", "vedette-call")
        self.dead.add(tuple(headers.get(name) for name in origin))

    def take_frame(self, partition: int, value: bytes, topic: str) -> None:
        """Count the rows of a frame that a reader would not drop as replays."""
        batch = frame_of(value)
        if batch is None:
            return
        columns = ("id", "source", "source_partition", "source_offset", "source_index", "params")
        for name, source, number, offset, index, params in zip(
            *(batch[name].to_pylist() for name in columns), strict=True
        ):
            if not name.startswith(topic):
                continue
            stream = (partition, source, number)
            if (offset, index) > self._passed.get(stream, (-1, -1)):
                self._passed[stream] = (offset, index)
                self.rows += 1
                self.alone += "vedette.join" in dict(params or ())

    def balance(self) -> tuple[int, int]:
        """Return the events that went in, and those that are accounted for."""
        merged = self.sent["response"]  # two events made one interaction
        accounted = self.rows + merged + self.sent.get("duplicate", 0) + len(self.dead)
        return sum(self.sent.values()), accounted


@pytest.fixture
def worker(broker: str, tmp_path: Path) -> Iterator[Any]:
    workers: list[Worker] = []

    def start(topic: str, join: str) -> Worker:
        instance = Worker(
            {
                **settings_of(broker, tmp_path),
                "VEDETTE_INGEST__TOPICS": json.dumps([topic]),
                "VEDETTE_INGEST__SOURCES": json.dumps({topic: {"join": join}}),
                "VEDETTE_INGEST__JOIN_TIMEOUT_S": "600",
                "VEDETTE_INGEST__SNAPSHOT_INTERVAL_S": "0.3",
            }
        )
        instance.start()
        workers.append(instance)
        return instance

    yield start
    for instance in workers:
        instance.end(signal.SIGKILL)


@pytest.mark.parametrize(
    ("count", "kills", "pause_s", "join"),
    [
        (4000, 2, 0.4, "partition"),
        (4000, 2, 0.4, "shared"),
        pytest.param(1_000_000, 12, 0.0, "partition", marks=LONG),
    ],
)
async def test_every_event_is_accounted_for(
    broker: str, worker: Any, count: int, kills: int, pause_s: float, join: str
) -> None:
    topic = f"it.mixed.{uuid.uuid4().hex[:8]}"
    await create_topics(broker, topic)
    books = Books()
    role = worker(topic, join)
    killing = asyncio.create_task(_kill_at_random(role, kills))
    await _post(broker, topic, count, books, pause_s, scattered=join == "shared")
    interactions = sum(books.sent[kind] for kind in ("whole", "request"))
    await _read(broker, topic, books, interactions, killing)
    await killing
    went_in, accounted = books.balance()
    assert went_in == accounted
    assert (books.rows, books.alone, len(books.dead)) == (interactions, 0, books.sent["bad"])
    assert role.end(signal.SIGTERM) == 0


async def _kill_at_random(role: Worker, times: int) -> None:
    rng = random.Random(7)
    for _ in range(times):
        await asyncio.sleep(rng.uniform(3, 5))
        role.end(signal.SIGKILL)
        role.start()
        await asyncio.sleep(6)  # the session of the killed one has to run out


async def _post(
    broker: str, topic: str, count: int, books: Books, pause_s: float, *, scattered: bool
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for number, sent in enumerate(Traffic(count, seed=1)):
            if number % 100 == 0:
                await asyncio.sleep(pause_s)  # so that a kill meets work
            books.send(sent)
            # answers lie in another partition than their requests, if they meet elsewhere
            elsewhere = scattered and sent.body is BODIES["response"]
            partition = (sent.number + elsewhere) % PARTITIONS
            await producer.send(topic, sent.body, partition=partition, headers=sent.headers)
        await producer.flush()
    finally:
        await producer.stop()


async def _read(
    broker: str, topic: str, books: Books, interactions: int, killing: asyncio.Task[None]
) -> None:
    """Read until nothing more comes after the last kill."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(
            [TopicPartition(INTERACTIONS, n) for n in range(4)] + [TopicPartition(dlq(topic), 0)]
        )
        last_s = time.monotonic()
        while not killing.done() or time.monotonic() - last_s < 5 or books.rows < interactions:
            assert time.monotonic() - last_s < 120, "nothing comes any more"
            for place, batch in (await consumer.getmany(timeout_ms=200)).items():
                last_s = time.monotonic()
                for record in batch:
                    if place.topic == INTERACTIONS:
                        books.take_frame(place.partition, record.value, topic)
                    else:
                        books.take_letter(dict(record.headers))
    finally:
        await consumer.stop()
