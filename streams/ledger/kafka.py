"""What Kafka still holds of the trail: the records themselves, and the checkpoints."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka import aiokafka_options
from streams.ledger.log import Segment
from streams.ledger.tiles import read_tile
from streams.topics import ACCESS, ALERTS, AUDIT, CHECKPOINTS, TILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from config.settings import KafkaSettings

INDEX_GROUP = "vedette-index"
_POLL_MS = 1000
#: What the index role makes documents of, apart from dead letters.
INDEXED = (AUDIT, ALERTS, ACCESS)


async def indexed_records(
    settings: KafkaSettings, topics: Sequence[str] = INDEXED
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """Yield records of audit frames, alerts and accesses up to what `index` has committed."""
    ends = await _committed(settings)
    async with _consumer(settings, *topics) as consumer:
        owned = {item: ends[item] for item in consumer.assignment() if item in ends}
        async for records in _up_to(consumer, owned):
            yield records


async def published_segments(settings: KafkaSettings) -> dict[str, list[Segment]]:
    """Return all checkpoints that were published, by log; unopened."""
    found: dict[str, list[Segment]] = {}
    async for record in _all_of(settings, CHECKPOINTS):
        segment = _segment(record.value)
        if segment is not None:
            found.setdefault(segment.origin, []).append(segment)
    return found


async def published_tiles(settings: KafkaSettings) -> dict[str, dict[int, bytes]]:
    """Return the hashes of all tiles that are left, by log and number; untrusted."""
    found: dict[str, dict[int, bytes]] = {}
    async for record in _all_of(settings, TILES):
        tile = read_tile((record.key or b"").decode(errors="replace"), record.value or b"")
        if tile is not None:
            numbered = found.setdefault(tile.origin, {})
            # A block is published again as it fills, and after a crash once more.
            numbered[tile.number] = max(tile.hashes, numbered.get(tile.number, b""), key=len)
    return found


async def published_notes(settings: KafkaSettings) -> list[str]:
    """Return the notes of all checkpoints that were published; unopened."""
    found = await published_segments(settings)
    return [segment.note for segments in found.values() for segment in segments]


async def waiting_records(settings: KafkaSettings) -> dict[str, int] | None:
    """Return how many records of each topic the index role has not committed; None: no Kafka."""
    try:
        ends = await _committed(settings)
        async with _consumer(settings, *INDEXED) as consumer:
            partitions = consumer.assignment()
            newest = await consumer.end_offsets(partitions)
            oldest = await consumer.beginning_offsets(partitions)
    except (KafkaError, OSError):
        return None
    waiting = dict.fromkeys(INDEXED, 0)
    for item in partitions:
        waiting[item.topic] += newest[item] - max(oldest[item], ends.get(item, 0))
    return waiting


async def _all_of(settings: KafkaSettings, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Yield what a topic holds now."""
    async with _consumer(settings, topic) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        async for records in _up_to(consumer, ends):
            for record in records:
                yield record


@contextlib.asynccontextmanager
async def _consumer(settings: KafkaSettings, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer of all partitions, outside every group."""
    consumer = AIOKafkaConsumer(
        *topics,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **aiokafka_options(settings),
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _committed(settings: KafkaSettings) -> dict[TopicPartition, int]:
    """Return the offsets that the index role has committed."""
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(INDEX_GROUP)
    finally:
        await admin.close()
    return {TopicPartition(*item): kept.offset for item, kept in found.items()}


async def _up_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """Yield the records of partitions from where the consumer stands to their ends."""
    for partition, end in ends.items():
        while await consumer.position(partition) < end:
            fetched = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=500)
            for records in fetched.values():
                yield [record for record in records if record.offset < end]


def _segment(value: bytes | None) -> Segment | None:
    """Return a published checkpoint; what is none cannot be opened anyway."""
    try:
        return msgspec.json.decode(value or b"", type=Segment)
    except msgspec.DecodeError:
        return None
