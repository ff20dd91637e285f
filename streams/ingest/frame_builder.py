"""Rows to Arrow: collects the interactions of one source partition for each target partition.

Columns are built whole from the rows at hand. Tensors and scores are already packed bytes, so
their columns are one join and one array of offsets.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from streams.frames import INTERACTION_SCHEMA, encode_frame
from streams.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.decode.model import Interaction
    from streams.roles.base import Partition

#: Stands where neither half says who called, or what.
UNKNOWN = "unknown"
_ROW_OVERHEAD_BYTES = 256
_CACHED_CLIENTS = 1 << 16
_FLOAT32_BYTES = 4


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
        self._open: dict[int, list[Interaction]] = {}
        self._open_bytes: dict[int, int] = {}
        self._closed: list[Frame] = []

        @lru_cache(maxsize=_CACHED_CLIENTS)
        def target_of(client: str) -> int:
            return partition_of(client.encode(), partitions)

        self._target_of = target_of

    def add(self, row: Interaction) -> None:
        """Put an interaction into the frame of its client's partition."""
        target = self._target_of(row.client or UNKNOWN)
        rows = self._open.get(target)
        if rows is None:
            rows = self._open[target] = []
            self._open_bytes[target] = 0
        rows.append(row)
        self._open_bytes[target] += _size_bytes(row)
        if len(rows) >= self._max_rows or self._open_bytes[target] >= self._max_bytes:
            self._close(target)

    def flush(self) -> list[Frame]:
        """Close all frames and return them, those of one target in order."""
        for target in list(self._open):
            self._close(target)
        frames, self._closed = self._closed, []
        return frames

    def _close(self, target: int) -> None:
        rows = self._open.pop(target)
        del self._open_bytes[target]
        data = encode_frame(to_batch(self._source, rows))
        self._closed.append(Frame(target, len(rows), rows[0].id, data))


def to_batch(source: Partition, rows: Sequence[Interaction]) -> pa.RecordBatch:
    """Return ``rows`` of ``source`` as columns of ``INTERACTION_SCHEMA``."""
    columns = [
        _COLUMNS.get(field.name, _plain)(source, rows, field) for field in INTERACTION_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=INTERACTION_SCHEMA)


def _size_bytes(row: Interaction) -> int:
    size = _ROW_OVERHEAD_BYTES + len(row.input or b"") + len(row.scores or b"")
    if row.prompt or row.completion:
        size += len(row.prompt or "") + len(row.completion or "")
    return size


def _plain(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    name = field.name
    return pa.array([getattr(row, name) for row in rows], field.type)


def _time(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array(np.array([row.time_us for row in rows], "datetime64[us]"), field.type)


def _topic(source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array([source.topic] * len(rows), field.type)


def _partition(source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array(np.full(len(rows), source.partition, np.int32), field.type)


def _offset(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array([row.offset for row in rows], field.type)


def _index(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array([row.index for row in rows], field.type)


def _client(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array([row.client or UNKNOWN for row in rows], field.type)


def _model(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    return pa.array([row.model or UNKNOWN for row in rows], field.type)


def _map(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    maps = [getattr(row, field.name) for row in rows]
    if all(entry is None for entry in maps):
        return pa.nulls(len(rows), field.type)
    return pa.array([None if entry is None else list(entry.items()) for entry in maps], field.type)


def _input(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    offsets, validity, data = _joined([row.input for row in rows])
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(field.type, len(rows), buffers)


def _scores(_source: Partition, rows: Sequence[Interaction], field: pa.Field) -> pa.Array:
    offsets, validity, data = _joined([row.scores for row in rows])
    counts = (offsets // _FLOAT32_BYTES).astype(np.int32)
    values = pa.Array.from_buffers(
        pa.float32(), len(data) // _FLOAT32_BYTES, [None, pa.py_buffer(data)]
    )
    return pa.Array.from_buffers(
        field.type, len(rows), [validity, pa.py_buffer(counts)], children=[values]
    )


def _joined(parts: list[bytes | None]) -> tuple[np.ndarray[Any, Any], pa.Buffer | None, bytes]:
    """Return offsets, validity bitmap (None if all are there) and the bytes in one."""
    lengths = np.fromiter((len(part) if part else 0 for part in parts), np.int64, len(parts))
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if None not in parts:
        return offsets, None, b"".join(parts)  # type: ignore[arg-type]  # just checked
    present = np.fromiter((part is not None for part in parts), np.bool_, len(parts))
    validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    return offsets, validity, b"".join(part for part in parts if part)


_COLUMNS: dict[str, Callable[[Partition, Sequence[Interaction], pa.Field], pa.Array]] = {
    "time": _time,
    "source": _topic,
    "source_partition": _partition,
    "source_offset": _offset,
    "source_index": _index,
    "client": _client,
    "model": _model,
    "input": _input,
    "scores": _scores,
    "params": _map,
    "groups": _map,
}
