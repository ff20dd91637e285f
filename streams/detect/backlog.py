"""What waits for the detection thread, so that a busy one takes more at once.

A call of the detectors costs some milliseconds however few rows it gets. Chunks that arrive while
the thread is busy wait here and are taken together: the more traffic, the larger the batches and
the cheaper each event.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from streams.roles.base import Chunk, Partition

#: Few rows wait this long for company; an alert is wanted within half a second.
LINGER_S = 0.03
#: So many rows need no company.
ENOUGH_ROWS = 2048
#: Producers of chunks wait while more than this waits here.
MAX_WAITING_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A chunk and the frames that could be read of it."""

    chunk: Chunk
    frames: list[pa.RecordBatch]
    arrived_s: float
    rows: int
    size_bytes: int

    @classmethod
    def of(cls, chunk: Chunk, frames: list[pa.RecordBatch], arrived_s: float) -> Waiting:
        """Count what a chunk holds: it is asked for again and again."""
        rows = sum(frame.num_rows for frame in frames)
        return cls(chunk, frames, arrived_s, rows, sum(frame.nbytes for frame in frames))


class Backlog:
    """Chunks by partition, in the order of their arrival.

    Parameters
    ----------
    clock
        Seconds; replaced by tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Partition, list[Waiting]] = {}
        self._size_bytes = 0
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def put(self, chunk: Chunk, frames: list[pa.RecordBatch]) -> None:
        """Add a chunk, then wait until there is room for another."""
        waiting = Waiting.of(chunk, frames, self._clock())
        self._waiting.setdefault(chunk.source, []).append(waiting)
        self._size_bytes += waiting.size_bytes
        self._changed.set()
        while self._size_bytes > MAX_WAITING_BYTES and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def next_due(self) -> Partition:
        """Wait until a partition has enough, or has waited long enough; the longest first."""
        while True:
            now_s = self._clock()
            due_s = {source: self._due_s(waiting) for source, waiting in self._waiting.items()}
            if due_s:
                source = min(due_s, key=due_s.__getitem__)
                if due_s[source] <= now_s:
                    return source
            self._changed.clear()
            wait_s = min(due_s.values()) - now_s if due_s else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue

    def take(self, source: Partition) -> list[Waiting]:
        """Return all that waits of a partition, and forget it."""
        waiting = self._waiting.pop(source, [])
        self._size_bytes -= sum(item.size_bytes for item in waiting)
        self._changed.set()
        return waiting

    def close(self) -> None:
        """Let nobody wait for room: what waits will never be taken."""
        self._closed = True
        self._changed.set()

    @staticmethod
    def _due_s(waiting: list[Waiting]) -> float:
        if sum(item.rows for item in waiting) >= ENOUGH_ROWS:
            return waiting[0].arrived_s
        return waiting[0].arrived_s + LINGER_S
