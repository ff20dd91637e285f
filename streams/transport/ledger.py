"""Which offsets of a partition may be committed: the acknowledged prefix of its chunks."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Tracked(Protocol):
    """What the ledger needs of a chunk."""

    offset: int
    acked: bool


class OffsetLedger:
    """Chunks of one partition in the order they were fetched.

    Acknowledgements may come in any order, and offsets may have gaps (compaction, transaction
    markers): only the order of chunks counts, so neither needs bookkeeping per offset.
    """

    __slots__ = ("_chunks", "_owed")

    def __init__(self) -> None:
        self._chunks: deque[Tracked] = deque()
        self._owed: int | None = None

    def __len__(self) -> int:
        return len(self._chunks)

    def track(self, chunk: Tracked) -> None:
        """Append a chunk that is about to be handed over."""
        self._chunks.append(chunk)

    @property
    def pending(self) -> bool:
        """Whether there may be something to commit."""
        return self._owed is not None or bool(self._chunks and self._chunks[0].acked)

    def committable(self) -> int | None:
        """Return the offset to commit, None if there is none; owed until `committed`."""
        while self._chunks and self._chunks[0].acked:
            self._owed = self._chunks.popleft().offset + 1
        return self._owed

    def committed(self, offset: int) -> None:
        """Forget the owed offset if the broker has stored it."""
        if self._owed is not None and self._owed <= offset:
            self._owed = None
