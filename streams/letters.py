"""Reads dead letters back, and what became of each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from config.errors import ConfigError
from streams.dlq import (
    CALL_HEADER,
    ERROR_CLASS_HEADER,
    FAILED_AT_HEADER,
    MESSAGE_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REPLAYED_HEADER,
    STAGE_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    replays_of,
)
from streams.dlq_marks import Marks, is_mark
from streams.kafka import aiokafka_options
from streams.topics import DLQ_SUFFIX, dlq

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from config.settings import KafkaSettings
    from streams.roles.base import Record

    Headers = Sequence[tuple[str, bytes]]

_POLL_MS = 500
#: aiokafka waits for ever for a broker that went away after its first answer.
_MAX_SILENT_POLLS = 40
#: Ends the message of a letter whose value had no room beside our headers.
_LEFT_OUT = b"left out for its size"


class Place(NamedTuple):
    """Where a dead letter lies."""

    topic: str
    partition: int
    offset: int


class Letter(NamedTuple):
    """A dead letter: where it lies, what was refused and why, and the record as it came.

    ``call`` numbers the call that was refused of a record of several, -1 if all of it was.
    ``replays`` counts how often the record was sent back before it was refused here, and
    ``replayed_at`` says when this letter was, last; a ``returned`` one was refused again, and
    that later letter stands for it.
    """

    place: Place
    failed_at: str
    topic: str
    partition: int
    offset: int
    reason: str
    stage: str
    message: str
    replays: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    has_value: bool
    call: int = -1
    replayed_at: str = ""
    returned: bool = False

    @property
    def id(self) -> str:
        """``<topic>.dlq-<partition>-<offset>``."""
        return f"{self.place.topic}-{self.place.partition}-{self.place.offset}"


class Filter(NamedTuple):
    """Which letters are meant; None means all."""

    reason: str | None = None
    stage: str | None = None
    since_ms: int | None = None

    def matches(self, letter: Letter) -> bool:
        """Say whether a letter is meant, apart from its time."""
        return self.reason in (None, letter.reason) and self.stage in (None, letter.stage)


def letter_of(record: Record) -> Letter:
    """Take a dead letter apart.

    Our headers begin at the last one that names the topic: whatever stands before them came
    with the record, also if it looks like ours.
    """
    names = [name for name, _ in record.headers]
    start = (
        len(names) - 1 - names[::-1].index(TOPIC_HEADER) if TOPIC_HEADER in names else len(names)
    )
    original = [(name, value) for name, value in record.headers[:start] if name != REPLAYED_HEADER]
    ours = {name: value or b"" for name, value in record.headers[start:]}
    message = ours.get(MESSAGE_HEADER, b"")
    return Letter(
        place=Place(record.topic, record.partition, record.offset),
        failed_at=_text(ours, FAILED_AT_HEADER),
        topic=record.topic.removesuffix(DLQ_SUFFIX),
        partition=_number(ours, PARTITION_HEADER),
        offset=_number(ours, OFFSET_HEADER),
        reason=_text(ours, ERROR_CLASS_HEADER),
        stage=_text(ours, STAGE_HEADER),
        message=message.decode("utf-8", "replace"),
        replays=replays_of(record.headers[:start]),
        timestamp_ms=_number(ours, TIMESTAMP_HEADER),
        key=record.key,
        value=record.value,
        headers=original,
        has_value=record.value is not None or not message.endswith(_LEFT_OUT),
        call=_number(ours, CALL_HEADER),
    )


def _text(headers: dict[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode("utf-8", "replace")


def _number(headers: dict[str, bytes], name: str) -> int:
    digits = headers.get(name, b"")
    return int(digits) if digits.isdigit() and len(digits) < 20 else -1


async def read_letters(
    settings: KafkaSettings, topic: str, wanted: Filter
) -> AsyncIterator[Letter]:
    """Yield the dead letters of ``topic`` that lie there now, oldest first in each partition.

    Raises
    ------
    ConfigError
        If the topic has no dead letters' topic.
    """
    partitions = await _partitions_of(settings, dlq(topic.removesuffix(DLQ_SUFFIX)))
    async with _consumer(settings) as consumer:
        await _assign(consumer, partitions, wanted.since_ms)
        places = {place: await consumer.position(place) for place in partitions}
        async for letter in _told(consumer, places):
            if wanted.matches(letter):
                yield letter


async def read_letter(settings: KafkaSettings, identity: str) -> Letter:
    """Return one dead letter by its id, ``<topic>.dlq-<partition>-<offset>``.

    Raises
    ------
    ConfigError
        If there is none of that id.
    """
    wanted = _parsed(identity)
    place = TopicPartition(wanted.topic, wanted.partition)
    partitions = await _partitions_of(settings, wanted.topic)
    if place in partitions:
        async with _consumer(settings) as consumer:
            consumer.assign([place])
            async for letter in _told(consumer, {place: wanted.offset}):
                if letter.place == wanted:
                    return letter
                break
    raise ConfigError(f"there is no dead letter {identity}; see `vedette dlq list`")


def _parsed(identity: str) -> Place:
    name, _, offset = identity.rpartition("-")
    name, _, partition = name.rpartition("-")
    if not (name.endswith(DLQ_SUFFIX) and partition.isdigit() and offset.isdigit()):
        raise ConfigError("the id of a dead letter is <topic>.dlq-<partition>-<offset>")
    return Place(name, int(partition), int(offset))


@asynccontextmanager
async def _consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _told(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[Letter]:
    """Read letters twice: what became of one stands behind it."""
    ends = await consumer.end_offsets(list(starts))
    marks = Marks()
    async for record in _records(consumer, starts, ends):
        marks.take(record) if is_mark(record) else marks.take_letter(letter_of(record))
    async for record in _records(consumer, starts, ends):
        if not is_mark(record):
            yield marks.told(letter_of(record))


async def _records(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> AsyncIterator[Record]:
    """Yield the records between two sets of offsets; an aiokafka error if nothing more comes."""
    for place, offset in starts.items():
        consumer.seek(place, offset)
    silent_polls = 0
    while [place for place, end in ends.items() if await consumer.position(place) < end]:
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        silent_polls = 0 if batches else silent_polls + 1
        if silent_polls > _MAX_SILENT_POLLS:
            raise KafkaTimeoutError
        for place, batch in batches.items():
            for record in batch:
                if record.offset < ends[place]:
                    yield record


async def _partitions_of(settings: KafkaSettings, name: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    await admin.start()
    try:
        (found,) = await admin.describe_topics([name])
    finally:
        await admin.close()
    if found["error_code"]:
        raise ConfigError(f"there is no topic {name}; run `vedette topics apply`")
    return [TopicPartition(name, item["partition"]) for item in found["partitions"]]


async def _assign(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since_ms: int | None
) -> None:
    consumer.assign(partitions)
    if since_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        for place, position in found.items():
            if position is None:
                await consumer.seek_to_end(place)
            else:
                consumer.seek(place, position.offset)
