"""Which events came lately, so that one that its producer sends again is told once.

An id alone does not make a duplicate: gateways let callers choose it, and a caller who sends the
same id again and again must not hide calls that way. Only the same id with the same content, at
the same time by the producer's clock, is the same event.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import repeat
from typing import TYPE_CHECKING

import msgspec

from streams.decode.model import Part

if TYPE_CHECKING:
    from streams.decode.model import Decoded
    from streams.decode.runs import Run

_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode


def fingerprint(event: Decoded) -> bytes:
    """Return what is the same for an event that is sent again, and for no other.

    The hashes of its inputs are keyed, so nobody outside can make two events look alike.
    """
    rows = event.rows
    first = rows[0]
    return _mark(
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


def fingerprints(run: Run) -> list[bytes]:
    """Return for each record of a run what `fingerprint` returns for it alone."""
    columns = run.columns
    times = columns["time_us"] if run.timed else repeat(None)
    content = (columns[name] for name in ("input_hash", "scores", "label", "status"))
    return [
        _mark(source, event_id, Part.COMPLETE, *known, None, 0)
        for source, event_id, *known in zip(run.sources, run.ids, times, *content, strict=False)
    ]


def _mark(*content: object) -> bytes:
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
