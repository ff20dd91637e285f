"""How far each source has been seen: drops replays, and gives the event-time watermark.

A source partition reaches a target partition in order, so one number per source says which
rows are replays; and one time per source says up to when all of them have been seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from streams.columns import codes, integers, times_us

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

#: Rows of one record that a position tells apart; more are refused by the decoders.
INDEX_BITS = 20
#: A source that fell silent holds the watermark back by at most this much event time.
IDLE_SOURCE_US = 60_000_000
_NEVER = np.iinfo(np.int64).min


class _Source(msgspec.Struct):
    position: int = -1
    time_us: int = int(_NEVER)


class Positions:
    """The highest position and time seen of every source partition."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    def fresh(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Tell the rows that were not seen before, and remember them."""
        position = (integers(batch.column("source_offset"), np.int64, 0) << INDEX_BITS) | integers(
            batch.column("source_index"), np.int64, 0
        )
        fresh = np.zeros(batch.num_rows, np.bool_)
        for name, rows in self._rows_by_source(batch):
            source = self._sources.setdefault(name, _Source())
            highest = np.maximum.accumulate(np.concatenate(([source.position], position[rows])))
            fresh[rows] = position[rows] > highest[:-1]
            source.position = int(highest[-1])
        return fresh

    def watermarks(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """Return, for each row, the event time up to which every source had been seen before it.

        Rows must be fresh. The row's own time counts, so that a lone source has a watermark
        equal to the latest time seen.
        """
        time = times_us(batch.column("time"))
        for name, _ in (by_source := list(self._rows_by_source(batch))):
            self._sources.setdefault(name, _Source())
        slowest = np.full(batch.num_rows, np.iinfo(np.int64).max)
        fastest = np.full(batch.num_rows, _NEVER)
        rows_of = dict(by_source)
        for name, source in self._sources.items():
            seen = np.full(batch.num_rows, source.time_us)
            if name in rows_of:
                seen[rows_of[name]] = time[rows_of[name]]
                seen = np.maximum.accumulate(np.maximum(seen, source.time_us))
                source.time_us = int(seen[-1])
            slowest = np.minimum(slowest, np.where(seen == _NEVER, slowest, seen))
            fastest = np.maximum(fastest, seen)
        watermark: NDArray[np.int64] = np.maximum(slowest, fastest - IDLE_SOURCE_US)
        return watermark

    def snapshot(self) -> bytes:
        """Return the state as JSON."""
        return msgspec.json.encode(self._sources)

    def restore(self, data: bytes) -> None:
        """Bring back what `snapshot` returned."""
        self._sources = msgspec.json.decode(data, type=dict[str, _Source])

    @staticmethod
    def _rows_by_source(batch: pa.RecordBatch) -> list[tuple[str, NDArray[np.intp]]]:
        topic, topics = codes(batch.column("source"))
        partition = integers(batch.column("source_partition"), np.int64, 0)
        # -1 (no topic) becomes 0, so that one integer names a source.
        key = ((topic.astype(np.int64) + 1) << 32) | (partition & 0xFFFFFFFF)
        found = []
        for value in np.unique(key):
            name = topics[(value >> 32) - 1] if value >> 32 else ""
            found.append((f"{name}/{value & 0xFFFFFFFF}", np.flatnonzero(key == value)))
        return found
