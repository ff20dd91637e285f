"""Ingest on a real broker: what is good arrives once, what is bad lies in the dead letters."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.topics import INTERACTIONS, dlq
from tests.integration.ingesting import (
    PARTITIONS,
    Reader,
    Worker,
    create_topics,
    read_until,
    settings_of,
)
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
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(broker: str) -> str:
    """A source topic of our own, with its dead letters."""
    name = f"it.ingest.{uuid.uuid4().hex[:12]}"
    await create_topics(broker, name)
    return name


@pytest.fixture
def worker(broker: str, topic: str, tmp_path: Path) -> Iterator[Worker]:
    instance = Worker(
        {
            **settings_of(broker, tmp_path),
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
            headers=headers_of({"id": f"good-{number}"}),
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
