"""Which events came lately, so that one that its producer sends again is told once.

An id alone does not make a duplicate: gateways let callers choose it, and a caller who sends the
same id again and again must not hide calls that way. Only the same id with the same content, at
the same time by the producer's clock, is the same event.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from streams.decode.model import Decoded

_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode


def fingerprint(event: Decoded) -> bytes:
    """Return what is the same for an event that is sent again, and for no other.

    The hashes of its inputs are keyed, so nobody outside can make two events look alike.
    """
    rows = event.rows
    first = rows[0]
    content = (
        event.source,
        event.event_id,
        event.part,
        first.time_us if event.timed else None,
        first.input_hash if len(rows) == 1 else [row.input_hash for row in rows],
        first.scores,
        first.label,
        first.status,
        first.output_tokens,
        len(first.completion or ""),
    )
    return blake2b(_encode(content), digest_size=_BYTES).digest()


class Seen:
    """Remembers at least the last ``capacity`` fingerprints, and at most twice as many.

    Parameters
    ----------
    capacity
        Fingerprints of a generation; a full one becomes the old one, which is forgotten.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._young) + len(self._old)

    def add(self, mark: bytes) -> bool:
        """Remember a fingerprint; False if it was known."""
        if mark in self._young or mark in self._old:
            return False
        if len(self._young) == self._capacity:
            self._old, self._young = self._young, set()
        self._young.add(mark)
        return True

    def snapshot(self) -> tuple[bytes, bytes]:
        """Return both generations, the young one first."""
        return b"".join(self._young), b"".join(self._old)

    def restore(self, young: bytes, old: bytes) -> None:
        """Take over what `snapshot` returned."""
        self._young, self._old = _split(young), _split(old)


def _split(data: bytes) -> set[bytes]:
    return {data[at : at + _BYTES] for at in range(0, len(data), _BYTES)}
