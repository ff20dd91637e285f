"""Reads the verdicts that hold from their compacted topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer

from streams.kafka import aiokafka_options
from streams.respond.verdicts import Verdict
from streams.topics import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import TopicPartition

    from config.settings import KafkaSettings
    from streams.respond.verdicts import VerdictBook

log = structlog.get_logger(__name__)

POLL_MS = 500

_decoder = msgspec.json.Decoder(Verdict)


async def load_verdicts(book: VerdictBook, kafka: KafkaSettings) -> None:
    """Read the verdicts topic to its end into ``book``."""
    # Without a group the consumer is given every partition when it starts.
    consumer = AIOKafkaConsumer(VERDICTS, **aiokafka_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        await _read_to(consumer, ends, book)
    finally:
        await consumer.stop()
    log.info("verdicts loaded", clients=len(book))


async def _read_to(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], book: VerdictBook
) -> None:
    # Positions, not offsets of records, tell the end: the last records may be compacted away.
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                _take(book, record.key, record.value)


def _take(book: VerdictBook, key: bytes | None, value: bytes | None) -> None:
    if key is None:
        return
    try:
        verdict = None if value is None else _decoder.decode(value)
    except msgspec.DecodeError:
        return
    book.load(key.decode(errors="replace"), verdict)


async def end_offsets(kafka: KafkaSettings, topics: Sequence[str]) -> dict[str, int]:
    """Return the end of every partition of some topics, by ``topic-partition``."""
    consumer = AIOKafkaConsumer(*topics, **aiokafka_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        return {f"{partition.topic}-{partition.partition}": end for partition, end in ends.items()}
    finally:
        await consumer.stop()
