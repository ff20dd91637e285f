"""A dead letter is the record as it came, and why it was refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from prometheus_client import REGISTRY

from config.errors import PoisonRecord
from streams.dlq import DeadLetters


def record(topic: str = "events") -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic=topic,
        partition=3,
        offset=41,
        timestamp=0,
        timestamp_type=0,
        key=b"k",
        value=b"\xff secret",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=8,
        headers=(("ce_id", b"\xfe"), ("ce_id", b"again")),
    )


class RecordingProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, dict[str, Any]]] = []

    async def send(self, topic: str, value: bytes | None, **options: Any) -> asyncio.Future[object]:
        self.sent.append((topic, value, options))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def test_original_bytes_and_headers_stay_untouched() -> None:
    producer = RecordingProducer()
    letters = DeadLetters(producer, group="vedette-ingest", clock=lambda: 1.5)
    await (await letters.send(record(), PoisonRecord("truncated_json", "cut"), "decode"))
    ((topic, value, options),) = producer.sent
    assert (topic, value, options["key"]) == ("events.dlq", b"\xff secret", b"k")
    assert options["headers"] == [
        ("ce_id", b"\xfe"),
        ("ce_id", b"again"),
        ("__dlq.errors.topic", b"events"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"41"),
        ("__dlq.errors.group", b"vedette-ingest"),
        ("__dlq.errors.delivery.count", b"1"),
        ("__dlq.errors.message", b"truncated_json: cut"),
        ("vedette-error-class", b"truncated_json"),
        ("vedette-stage", b"decode"),
        ("vedette-failed-at", b"1970-01-01T00:00:01.500+00:00"),
        ("vedette-timestamp-ms", b"0"),
    ]
    assert letters.counts == {("events", "truncated_json"): 1}


async def test_a_dead_letter_is_counted_once() -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def both() -> tuple[float, float]:
        return (
            counted("vedette_dlq_records_total", stage="decode"),
            counted("vedette_decode_errors_total", reason="truncated_json"),
        )

    letters, errors = both()
    await DeadLetters(RecordingProducer(), group="g").send(
        record(), PoisonRecord("truncated_json", "cut"), "decode"
    )
    assert both() == (letters + 1, errors + 1)


async def test_dead_letters_are_never_dead_lettered_again() -> None:
    letters = DeadLetters(RecordingProducer(), group="g")
    with pytest.raises(ValueError, match="never"):
        await letters.send(record("events.dlq"), PoisonRecord("x"), "decode")
