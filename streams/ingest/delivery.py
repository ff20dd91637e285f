"""Frames and dead letters to Kafka, in order and until the broker has them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from config.errors import Fatal, PoisonRecord, Transient
from streams.dlq import Revalued
from streams.frames import FRAME_CONTENT_TYPE, FRAME_TYPE
from streams.ingest.halves import CONTENT_TYPE, pack_half, place_of
from streams.topics import HALVES, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.decode.model import Decoded
    from streams.dlq import DeadLetters
    from streams.ingest.frame_builder import Frame
    from streams.roles.base import Record
    from streams.sender import Sender

    Send = Callable[[], Awaitable[asyncio.Future[object]]]

log = structlog.get_logger(__name__)

STAGE = "decode"
MAX_BACKOFF_S = 10.0
_FIRST_BACKOFF_S = 0.2
_FRAME_HEADERS = (
    ("content-type", FRAME_CONTENT_TYPE.encode()),
    ("ce_specversion", b"1.0"),
    ("ce_type", FRAME_TYPE.encode()),
    ("ce_source", b"vedette/ingest"),
)
_HALF_HEADERS = (("content-type", CONTENT_TYPE.encode()),)


class Delivery:
    """Sends what one chunk caused.

    Parameters
    ----------
    producer
        Started producer.
    dead_letters
        Where refused records go.
    partitions
        Number of partitions of the topic where scattered halves meet.
    """

    def __init__(self, producer: Sender, dead_letters: DeadLetters, partitions: int) -> None:
        self._partitions = partitions
        self._producer = producer
        self._dead_letters = dead_letters

    async def send(
        self,
        frames: Sequence[Frame],
        refused: Sequence[tuple[Record, PoisonRecord]] = (),
        halves: Sequence[Decoded] = (),
    ) -> None:
        """Return once the broker has acknowledged everything.

        Frames of one target go one after the other: a reader drops positions that it has
        passed, so a frame that is retried must not be overtaken by its successor.

        Raises
        ------
        Fatal
            If the broker refuses for good.
        """
        by_target: dict[int, list[Frame]] = {}
        for frame in frames:
            by_target.setdefault(frame.target, []).append(frame)
        await asyncio.gather(
            *(self._send_in_order(frames) for frames in by_target.values()),
            self._send_letters(refused),
            self._send_halves(halves),
        )

    async def _send_halves(self, halves: Sequence[Decoded]) -> None:
        sends = [partial(self._send_half, half) for half in halves]
        for send, queued in zip(sends, [await _queued(send) for send in sends], strict=True):
            await until_acknowledged(send, queued)

    async def _send_half(self, half: Decoded) -> asyncio.Future[object]:
        value, partition = pack_half(half), place_of(half, self._partitions)
        return await self._producer.send(HALVES, value, partition=partition, headers=_HALF_HEADERS)

    async def _send_in_order(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            headers = (*_FRAME_HEADERS, ("ce_id", frame.first_id.encode()))

            def send(
                frame: Frame = frame, headers: Sequence[tuple[str, bytes]] = headers
            ) -> Awaitable[asyncio.Future[object]]:
                return self._producer.send(
                    INTERACTIONS, frame.data, partition=frame.target, headers=headers
                )

            await until_acknowledged(send)

    async def _send_letters(self, refused: Sequence[tuple[Record, PoisonRecord]]) -> None:
        sends = [partial(self._dead_letters.send, *letter, STAGE) for letter in refused]
        queued = [await _queued(send) for send in sends]
        for send, first, (record, error) in zip(sends, queued, refused, strict=True):
            try:
                await until_acknowledged(send, first)
            except MessageSizeTooLargeError:
                # The record filled its topic's limit, so there is no room for our headers.
                why = f"{error.detail}; its value was left out for its size"
                cut, bare = PoisonRecord(error.reason, why), Revalued(record, None)
                await until_acknowledged(partial(self._dead_letters.send, bare, cut, STAGE))


async def _queued(send: Send) -> asyncio.Future[object]:
    """Queue one of many; what fails at once fails in the future.

    One after the other: of thousands that wait together for room in aiokafka's batch, all would
    be woken up whenever there is room for a few.
    """
    try:
        return await send()
    except (KafkaError, Transient) as error:
        failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed


async def until_acknowledged(send: Send, queued: asyncio.Future[object] | None = None) -> None:
    """Call ``send`` until the broker acknowledges; wait longer after each failure.

    Parameters
    ----------
    send
        Queues the record.
    queued
        What it returned, if it was called before.

    Raises
    ------
    Fatal
        If the broker refuses for good.
    """
    backoff_s = _FIRST_BACKOFF_S
    while True:
        try:
            await (queued or await send())
        except MessageSizeTooLargeError:
            raise
        except Transient as error:
            delay_s = error.retry_after_s
            reason = type(error).__name__
        except KafkaError as error:
            reason = type(error).__name__
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise Fatal(f"Kafka refuses what ingest sends: {reason}") from error
            delay_s = backoff_s
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
        else:
            return
        queued = None
        log.warning("ingest.delivery_retried", reason=reason, delay_s=delay_s)
        await asyncio.sleep(delay_s)
