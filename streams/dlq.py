"""Dead letters: the record as it came, plus why and where it was refused.

The original bytes and headers stay untouched, so that a dead letter can be replayed; ours
follow them. Of a record of several calls the refused one alone lies there, as a record. Header
texts are made by Vedette alone and hold nothing of the payload.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from streams.metrics.catalogue import DECODE_ERRORS, DLQ_RECORDS
from streams.topics import DLQ_SUFFIX, dlq

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from config.errors import PoisonRecord
    from streams.decode.model import Refusal
    from streams.roles.base import Record
    from streams.sender import Sender

_PREFIX = "__dlq.errors."
ERROR_CLASS_HEADER = "vedette-error-class"
STAGE_HEADER = "vedette-stage"
FAILED_AT_HEADER = "vedette-failed-at"
#: Of the record as it came: a replay keeps it, so that its event time is judged alike.
TIMESTAMP_HEADER = "vedette-timestamp-ms"
#: Which call of a record of several the letter holds; the others were not refused.
CALL_HEADER = "vedette-call"
#: How often the record was replayed from the dead letters.
REPLAYED_HEADER = "vedette-replayed"
TOPIC_HEADER = _PREFIX + "topic"
PARTITION_HEADER = _PREFIX + "partition"
OFFSET_HEADER = _PREFIX + "offset"
MESSAGE_HEADER = _PREFIX + "message"
_MAX_REPLAYS_DIGITS = 6

Headers = list[tuple[str, bytes]]


class Revalued:
    """A record with another value, as a `Record`."""

    def __init__(self, record: Record, value: bytes | None) -> None:
        self.topic = record.topic
        self.partition = record.partition
        self.offset = record.offset
        self.timestamp = record.timestamp
        self.key = record.key
        self.value = value
        self.headers = record.headers


class Call(Revalued):
    """A record of one call of a record that holds several, as a `Record`."""

    def __init__(self, record: Record, refusal: Refusal) -> None:
        super().__init__(record, refusal.value)
        self.number = refusal.number


class DeadLetter(NamedTuple):
    """What is sent to ``topic``."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(
    record: Record, error: PoisonRecord, *, stage: str, group: str, failed_at_s: float
) -> DeadLetter:
    """Build the dead letter of ``record``.

    Raises
    ------
    ValueError
        If the record is a dead letter itself: those are never dead-lettered again.
    """
    if record.topic.endswith(DLQ_SUFFIX):
        raise ValueError("a dead letter is never dead-lettered again")
    when = datetime.fromtimestamp(failed_at_s, UTC).isoformat(timespec="milliseconds")
    added = {
        TOPIC_HEADER: record.topic,
        PARTITION_HEADER: str(record.partition),
        OFFSET_HEADER: str(record.offset),
        _PREFIX + "group": group,
        _PREFIX + "delivery.count": str(1 + replays_of(record.headers)),
        MESSAGE_HEADER: str(error),
        ERROR_CLASS_HEADER: error.reason,
        STAGE_HEADER: stage,
        FAILED_AT_HEADER: when,
        TIMESTAMP_HEADER: str(record.timestamp),
    }
    if isinstance(record, Call):
        added[CALL_HEADER] = str(record.number)
    headers = [*record.headers, *((name, text.encode()) for name, text in added.items())]
    return DeadLetter(dlq(record.topic), record.key, record.value, headers)


def replays_of(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return how often a record was replayed, by its own mark; 0 if that is malformed."""
    for name, value in reversed(headers):
        if name == REPLAYED_HEADER and value:
            fits = value.isdigit() and len(value) <= _MAX_REPLAYS_DIGITS
            return int(value) if fits else 0
    return 0


class DeadLetters:
    """Sends bad records to the dead-letter topic of their own topic.

    Parameters
    ----------
    producer
        Started `streams.producer.Producer`.
    group
        Consumer group that refused the record.
    clock
        Gives seconds since the epoch, for the ``vedette-failed-at`` header.

    Attributes
    ----------
    counts
        Dead letters sent, by (topic, reason).
    """

    def __init__(
        self, producer: Sender, *, group: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._producer = producer
        self._group = group
        self._clock = clock
        self.counts: Counter[tuple[str, str]] = Counter()

    async def send(self, record: Record, error: PoisonRecord, stage: str) -> asyncio.Future[object]:
        """Queue the dead letter; await the returned future before acknowledging the record."""
        letter = dead_letter(
            record, error, stage=stage, group=self._group, failed_at_s=self._clock()
        )
        delivery = await self._producer.send(
            letter.topic, letter.value, key=letter.key, headers=letter.headers
        )
        self.counts[record.topic, error.reason] += 1
        DLQ_RECORDS.labels(stage).inc()
        DECODE_ERRORS.labels(error.reason).inc()
        return delivery
