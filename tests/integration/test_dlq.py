"""Dead letters on a real broker: found by the command, and replayed once their cause is gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.dlq_marks import is_mark
from streams.topics import INTERACTIONS, dlq
from tests.integration.ingesting import ROOT, Reader, Worker, create_topics, read_until, settings_of
from tests.unit.decode.records import EVENT, headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Command = Callable[..., str]

pytestmark = pytest.mark.kafka

SMALL_BYTES = 2000


@pytest.fixture
def topic(broker: str) -> str:
    name = f"it.dlq.{uuid.uuid4().hex[:12]}"
    asyncio.run(create_topics(broker, name))
    return name


@pytest.fixture
def environment(broker: str, topic: str, tmp_path: Path) -> dict[str, str]:
    return {
        **settings_of(broker, tmp_path),
        "VEDETTE_INGEST__TOPICS": json.dumps([topic]),
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def run(**settings: str) -> Worker:
        worker = Worker({**environment, **settings})
        worker.start()
        workers.append(worker)
        return worker

    yield run
    for worker in workers:
        worker.end(signal.SIGKILL)


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli.main", *arguments],
            cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


async def post(broker: str, topic: str, bodies: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    try:
        for number, body in enumerate(bodies):
            headers = headers_of({"id": f"r{number}", "time": None})
            await producer.send_and_wait(topic, body, key=b"k", partition=1, headers=headers)
    finally:
        await producer.stop()


def letters(broker: str, topic: str, count: int) -> list[Any]:
    def ours(records: list[Any]) -> list[Any]:
        return [record for record in records if not is_mark(record)]

    found = asyncio.run(read_until(broker, dlq(topic), lambda items: len(ours(items)) >= count))
    return ours(found)


def test_letters_are_listed_shown_and_replayed_without_going_round(
    broker: str, topic: str, start: Callable[..., Worker], command: Command, tmp_path: Path
) -> None:
    large = json.dumps({**EVENT, "padding": "x" * SMALL_BYTES}).encode()
    bodies = [b"{", large, json.dumps(EVENT).encode()]
    strict = start(VEDETTE_INGEST__MAX_RECORD_BYTES=str(SMALL_BYTES))
    asyncio.run(post(broker, topic, bodies))
    assert [letter.value for letter in letters(broker, topic, 2)] == bodies[:2]
    assert strict.end(signal.SIGTERM) == 0

    listed = [json.loads(line) for line in command("dlq", "list", topic, "--json").splitlines()]
    assert [(item["reason"], item["partition"], item["replays"]) for item in listed] == [
        ("truncated_json", 1, 0),
        ("too_large", 1, 0),
    ]
    assert "truncated_json 1" in command("dlq", "list", topic)
    only = command("dlq", "list", topic, "--reason", "too_large", "--since", "1h", "--json")
    assert json.loads(only)["id"] == listed[1]["id"]
    out = tmp_path / "payload"
    shown = command("dlq", "show", listed[1]["id"], "--out", str(out))
    assert "ce_client" in shown
    assert "xxxx" not in shown
    assert out.read_bytes() == large

    assert "2 would be replayed" in command("dlq", "replay", topic, "--dry-run")
    assert "2 replayed" in command("dlq", "replay", topic)
    patient = start()
    reader = Reader(topic)
    asyncio.run(read_until(broker, INTERACTIONS, lambda records: reader.has(2, records)))
    assert sorted(row["source_offset"] for row in reader.rows) == [2, 4]
    again = letters(broker, topic, 3)[2]
    headers = dict(again.headers)
    assert (again.value, headers["vedette-replayed"]) == (b"{", b"1")
    assert headers["__dlq.errors.delivery.count"] == b"2"
    assert "0 replayed, 3 left alone" in command("dlq", "replay", topic)
    assert patient.end(signal.SIGTERM) == 0
    listed = [json.loads(line) for line in command("dlq", "list", topic, "--json").splitlines()]
    assert [(item["replays"], item["replayed_at"] is None) for item in listed] == [
        (0, False),
        (0, False),
        (1, True),
    ]
    assert listed[0]["replayed_at"] in command("dlq", "show", listed[0]["id"])


def test_what_was_replayed_is_sent_again_only_if_asked_and_by_the_same_filters(
    broker: str, topic: str, start: Callable[..., Worker], command: Command
) -> None:
    large = json.dumps({**EVENT, "padding": "x" * SMALL_BYTES}).encode()
    bodies = [b"{", b'{"a', large]
    strict = start(VEDETTE_INGEST__MAX_RECORD_BYTES=str(SMALL_BYTES))
    asyncio.run(post(broker, topic, bodies))
    letters(broker, topic, 3)

    assert "1 replayed" in command("dlq", "replay", topic, "--limit", "1")
    letters(broker, topic, 4)
    assert "1 would be replayed" in command(
        "dlq", "replay", topic, "--reason", "truncated_json", "--dry-run"
    )
    assert "2 replayed, 2 left alone" in command("dlq", "replay", topic)
    again = [letter.value for letter in letters(broker, topic, 6)[3:]]
    assert again == bodies
    assert "0 replayed, 6 left alone" in command("dlq", "replay", topic)
    text = command("dlq", "replay", topic, "--reason", "too_large", "--again")
    assert "1 replayed, 1 left alone" in text
    assert [letter.value for letter in letters(broker, topic, 7)[6:]] == [large]
    assert strict.end(signal.SIGTERM) == 0


def test_a_record_without_key_that_fills_its_topic_leaves_a_letter_without_value(
    broker: str, topic: str, start: Callable[..., Worker], command: Command
) -> None:
    async def post_large() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker, max_request_size=8 << 20)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"x" * ((8 << 20) - 200), partition=0)
            await producer.send_and_wait(topic, b"{", partition=0)
        finally:
            await producer.stop()

    worker = start()
    asyncio.run(post_large())
    assert [letter.value for letter in letters(broker, topic, 2)] == [None, b"{"]
    assert "1 without their value" in command("dlq", "replay", topic, "--dry-run")
    assert worker.end(signal.SIGTERM) == 0


def test_a_letter_that_is_not_there_is_one_line(
    topic: str, command: Command, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", "dlq", "show", f"{dlq(topic)}-0-99"],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no dead letter" in done.stderr
