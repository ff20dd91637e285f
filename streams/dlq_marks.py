"""Which dead letters were sent back: remembered where they lie, for as long as they lie there.

A mark is a record among the letters, without a value, that names what was sent. It says nothing
to whoever knows no marks, and no producer can forge one: what comes from a producer lies there as
a letter, with our headers behind its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from streams.dlq import TOPIC_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.letters import Letter
    from streams.roles.base import Record

MARK_HEADER = "vedette-replayed-letters"
_DIGEST_BYTES = 16


def mark_headers(refusals: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Return the headers of the mark of letters, by their `refusal_of`."""
    return [(MARK_HEADER, b",".join(refusal.hex().encode() for refusal in refusals))]


def is_mark(record: Record) -> bool:
    """Say whether a record among the dead letters is none of them."""
    names = {name for name, _ in record.headers}
    return MARK_HEADER in names and TOPIC_HEADER not in names


def refusal_of(letter: Letter) -> bytes:
    """Return what is the same for all letters of one refusal: a killed worker writes two."""
    is_ours = letter.offset >= 0
    origin = (letter.partition, letter.offset, letter.call, letter.timestamp_ms)
    return _digest(origin if is_ours else letter.place, content_of(letter))


def content_of(letter: Letter) -> bytes:
    """Return what is the same of a record however often it is sent back."""
    return _digest(letter.topic, letter.key, letter.value, letter.headers)


def _digest(*parts: object) -> bytes:
    return blake2b(msgspec.msgpack.encode(parts), digest_size=_DIGEST_BYTES).digest()


class Marks:
    """What later records say of letters: that they were sent back, and came again."""

    def __init__(self) -> None:
        self._replayed_at_ms: dict[bytes, int] = {}
        self._replays: dict[bytes, int] = {}

    def take(self, record: Record) -> None:
        """Remember a mark."""
        names = dict(record.headers)[MARK_HEADER] or b""
        self._replayed_at_ms.update(dict.fromkeys(names.split(b","), record.timestamp))

    def take_letter(self, letter: Letter) -> None:
        """Remember a letter that was sent back before it was refused here."""
        if letter.replays:
            content = content_of(letter)
            self._replays[content] = max(self._replays.get(content, 0), letter.replays)

    def told(self, letter: Letter) -> Letter:
        """Return a letter with what became of it."""
        if not self._replayed_at_ms:
            return letter
        at_ms = self._replayed_at_ms.get(refusal_of(letter).hex().encode())
        if at_ms is None:
            return letter
        when = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        returned = self._replays.get(content_of(letter), 0) > letter.replays
        return letter._replace(replayed_at=when, returned=returned)
