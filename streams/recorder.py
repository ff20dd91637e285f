"""Record interactions from Kafka into a file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError

from config.errors import ConfigError, PoisonRecord
from streams.frames import decode_frame
from streams.kafka import aiokafka_options
from streams.recording import RecordingWriter
from streams.topics import INTERACTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka import TopicPartition

    from config.settings import Settings

log = structlog.get_logger(__name__)


async def record_interactions(
    settings: Settings,
    out: Path,
    *,
    seconds: float | None = None,
    events: int | None = None,
    follow: bool = False,
) -> int:
    """Copy interactions from the topic to a recording, without a consumer group.

    Parameters
    ----------
    settings
        Where the broker is.
    out
        The file, Parquet or Arrow IPC by its ending.
    seconds, events
        When to stop; None for no bound.
    follow
        Wait for new interactions from now on instead of reading what is there.

    Returns
    -------
    int
        How many interactions were written.
    """
    with RecordingWriter(out) as writer:
        consumer = AIOKafkaConsumer(
            INTERACTIONS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **aiokafka_options(settings.kafka),
        )
        try:
            await consumer.start()
            assigned = sorted(consumer.assignment())
            ends = await consumer.end_offsets(assigned)
            if follow:
                await consumer.seek_to_end(*assigned)
            return await _copy(
                consumer, writer, None if follow else ends, seconds=seconds, events=events
            )
        except UnknownTopicOrPartitionError:
            raise ConfigError(
                f"topic {INTERACTIONS} does not exist; run `vedette topics apply`"
            ) from None
        finally:
            await consumer.stop()


async def _copy(
    consumer: AIOKafkaConsumer,
    writer: RecordingWriter,
    ends: dict[TopicPartition, int] | None,
    *,
    seconds: float | None,
    events: int | None,
) -> int:
    written = 0
    deadline_s = time.monotonic() + seconds if seconds is not None else None
    while ends is None or await _behind(consumer, ends):
        if deadline_s is not None and time.monotonic() >= deadline_s:
            break
        fetched = await consumer.getmany(timeout_ms=200)
        for record in (record for records in fetched.values() for record in records):
            try:
                batch = decode_frame(record.value)
            except PoisonRecord as error:
                log.warning("frame left out", reason=error.reason, offset=record.offset)
                continue
            if events is not None:
                batch = batch.slice(0, events - written)
            writer.write(batch)
            written += int(batch.num_rows)
            if events is not None and written >= events:
                return written
    return written


async def _behind(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return any([await consumer.position(tp) < end for tp, end in ends.items()])
