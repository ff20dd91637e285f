"""Reads dead letters back, and replays them to where they came from."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
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
from streams.kafka import aiokafka_options
from streams.topics import DLQ_SUFFIX, dlq

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from config.settings import KafkaSettings
    from streams.roles.base import Record
    from streams.sender import Sender

    Headers = Sequence[tuple[str, bytes]]

_POLL_MS = 500
#: Ends the message of a letter whose value had no room beside our headers.
_LEFT_OUT = b"left out for its size"


class Letter(NamedTuple):
    """A dead letter: where it lies, what was refused and why, and the record as it came.

    ``call`` numbers the call that was refused of a record of several, -1 if all of it was.
    """

    id: str
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

    @property
    def can_replay(self) -> bool:
        """Whether the record is whole: a value that was too large was left out."""
        return self.has_value


class Filter(NamedTuple):
    """Which letters are meant; None means all."""

    reason: str | None = None
    stage: str | None = None
    since_ms: int | None = None
    replayed: bool | None = None

    def matches(self, letter: Letter) -> bool:
        """Say whether a letter is meant, apart from its time."""
        return (
            self.reason in (None, letter.reason)
            and self.stage in (None, letter.stage)
            and self.replayed in (None, letter.replays > 0)
        )


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
        id=f"{record.topic}-{record.partition}-{record.offset}",
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
    name = dlq(topic.removesuffix(DLQ_SUFFIX))
    partitions = await _partitions_of(settings, name)
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await _assign(consumer, partitions, wanted.since_ms)
        ends = await consumer.end_offsets(partitions)
        while [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in batch:
                    letter = letter_of(record)
                    if wanted.matches(letter):
                        yield letter
    finally:
        await consumer.stop()


async def read_letter(settings: KafkaSettings, identity: str) -> Letter:
    """Return one dead letter by its id, ``<topic>.dlq-<partition>-<offset>``.

    Raises
    ------
    ConfigError
        If there is none of that id.
    """
    name, partition, offset = _parsed(identity)
    place = TopicPartition(name, partition)
    partitions = await _partitions_of(settings, name)
    consumer = AIOKafkaConsumer(**aiokafka_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        await _assign(consumer, partitions, None)
        if place in partitions:
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if begin <= offset < end:
                consumer.seek(place, offset)
                record = await consumer.getone(place)
                if record.offset == offset:
                    return letter_of(record)
    finally:
        await consumer.stop()
    raise ConfigError(f"there is no dead letter {identity}; see `vedette dlq list`")


def _parsed(identity: str) -> tuple[str, int, int]:
    name, _, offset = identity.rpartition("-")
    name, _, partition = name.rpartition("-")
    if not (name.endswith(DLQ_SUFFIX) and partition.isdigit() and offset.isdigit()):
        raise ConfigError("the id of a dead letter is <topic>.dlq-<partition>-<offset>")
    return name, int(partition), int(offset)


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


class Replay:
    """Sends letters back to their topics, byte for byte, with a mark.

    A record that fails again comes back as a new letter that carries the mark; unless ``again``
    it is then left alone, so that nothing goes round for ever.

    Attributes
    ----------
    counts
        ``replayed``, ``replayed_before`` (left alone), ``incomplete`` (its value was left out).
    """

    def __init__(self, producer: Sender | None, *, again: bool = False) -> None:
        self._producer = producer
        self._again = again
        self.counts: Counter[str] = Counter()

    async def take(self, letters: Iterable[Letter]) -> None:
        """Replay letters, and return once the broker has them; without a producer only count."""
        pending = []
        for letter in letters:
            verdict = self._verdict(letter)
            self.counts[verdict] += 1
            if verdict == "replayed" and self._producer is not None:
                pending.append(await self._send(self._producer, letter))
        await asyncio.gather(*pending)

    def _verdict(self, letter: Letter) -> str:
        if not letter.can_replay:
            return "incomplete"
        return "replayed_before" if letter.replays and not self._again else "replayed"

    async def _send(self, producer: Sender, letter: Letter) -> asyncio.Future[object]:
        mark = (REPLAYED_HEADER, str(letter.replays + 1).encode())
        return await producer.send(
            letter.topic,
            letter.value,
            key=letter.key,
            partition=letter.partition if letter.partition >= 0 else None,
            headers=[*letter.headers, mark],
            timestamp_ms=letter.timestamp_ms if letter.timestamp_ms > 0 else None,
        )
