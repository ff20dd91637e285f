"""Frames: the interactions of one source partition, for each partition of their clients."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from streams.frames import encode_frame
from streams.ingest.batches import UNKNOWN, rows_to_batch, to_batch
from streams.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.decode.model import Interaction
    from streams.decode.runs import Run
    from streams.roles.base import Partition

_ROW_OVERHEAD_BYTES = 256
_CACHED_CLIENTS = 1 << 16


class Frame(NamedTuple):
    """An encoded frame and the partition of the interactions topic that it belongs to."""

    target: int
    rows: int
    first_id: str
    data: bytes


class FrameBuilder:
    """Packs interactions into frames.

    Parameters
    ----------
    source
        The partition that the interactions come from.
    partitions
        Number of partitions of the interactions topic.
    max_rows, max_bytes
        A frame is closed when it has this many rows, or about as many bytes.
    """

    def __init__(
        self, source: Partition, *, partitions: int, max_rows: int, max_bytes: int
    ) -> None:
        self._source = source
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._open: dict[int, _Open] = {}
        self._closed: list[Frame] = []

        @lru_cache(maxsize=_CACHED_CLIENTS)
        def target_of(client: str) -> int:
            return partition_of(client.encode(), partitions)

        self._target_of = target_of

    def add(self, row: Interaction) -> None:
        """Put an interaction into the frame of its client's partition."""
        target = self._target_of(row.client or UNKNOWN)
        frame = self._open_frame(target)
        frame.rows.append(row)
        self._count(target, frame, 1, _size_bytes(row))

    def add_run(self, run: Run, told: Sequence[int]) -> None:
        """Put some interactions of a run into the frames of their clients' partitions.

        Parameters
        ----------
        told
            Places in the run, rising.
        """
        targets = np.fromiter(map(self._target_of, run.columns["client"]), np.int64, len(run.at))
        chosen = np.asarray(told, np.int64)
        order = chosen[np.argsort(targets[chosen], kind="stable")]
        targets, sizes = targets[order], _run_sizes(run)[order]
        # ordered as Python values, so that the columns are built once
        batch = to_batch(self._source, len(order), run.pick(order.tolist()).columns)
        bounds = [0, *(np.flatnonzero(np.diff(targets)) + 1).tolist(), len(order)]
        for start, stop in pairwise(bounds):
            if start < stop:
                self._add_slices(int(targets[start]), batch[start:stop], sizes[start:stop])

    def _add_slices(self, target: int, batch: pa.RecordBatch, sizes: NDArray[np.int64]) -> None:
        """Cut a batch of one target where `add` would close a frame."""
        while batch.num_rows:
            frame = self._open_frame(target)
            frame.seal(self._source)
            until = np.searchsorted(sizes.cumsum(), self._max_bytes - frame.size_bytes) + 1
            rows = min(int(until), self._max_rows - frame.count, batch.num_rows)
            frame.batches.append(batch[:rows])
            self._count(target, frame, rows, int(sizes[:rows].sum()))
            batch, sizes = batch[rows:], sizes[rows:]

    def flush(self) -> list[Frame]:
        """Close all frames and return them, those of one target in order."""
        for target in list(self._open):
            self._close(target)
        frames, self._closed = self._closed, []
        return frames

    def _open_frame(self, target: int) -> _Open:
        frame = self._open.get(target)
        if frame is None:
            frame = self._open[target] = _Open()
        return frame

    def _count(self, target: int, frame: _Open, rows: int, size_bytes: int) -> None:
        frame.count += rows
        frame.size_bytes += size_bytes
        if frame.count >= self._max_rows or frame.size_bytes >= self._max_bytes:
            self._close(target)

    def _close(self, target: int) -> None:
        frame = self._open.pop(target)
        frame.seal(self._source)
        batches = frame.batches
        batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        first_id = batch.column("id")[0].as_py()
        self._closed.append(Frame(target, frame.count, first_id, encode_frame(batch)))


class _Open:
    """A frame that grows: whole batches, and rows that follow them."""

    __slots__ = ("batches", "count", "rows", "size_bytes")

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.rows: list[Interaction] = []
        self.count = 0
        self.size_bytes = 0

    def seal(self, source: Partition) -> None:
        """Make a batch of the rows."""
        if self.rows:
            self.batches.append(rows_to_batch(source, self.rows))
            self.rows = []


def _size_bytes(row: Interaction) -> int:
    size = _ROW_OVERHEAD_BYTES + len(row.input or b"") + len(row.scores or b"")
    if row.prompt or row.completion:
        size += len(row.prompt or "") + len(row.completion or "")
    return size


def _run_sizes(run: Run) -> NDArray[np.int64]:
    """Return for each record what `_size_bytes` says of its row."""
    rows = len(run.at)
    payload, scores = (
        np.fromiter(map(len, run.columns[name]), np.int64, rows) for name in ("input", "scores")
    )
    return _ROW_OVERHEAD_BYTES + payload + scores
