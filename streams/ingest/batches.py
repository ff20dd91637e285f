"""Rows and columns of Python values to Arrow.

Columns are built whole. Tensors and scores are already packed bytes, so their columns are one
join and one array of offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from streams.decode.model import Interaction
from streams.frames import INTERACTION_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.roles.base import Partition

#: Stands where neither half says who called, or what.
UNKNOWN = "unknown"
_FLOAT32_BYTES = 4


def rows_to_batch(source: Partition, rows: Sequence[Interaction]) -> pa.RecordBatch:
    """Return ``rows`` of ``source`` as columns of ``INTERACTION_SCHEMA``."""
    columns = {name: [getattr(row, name) for row in rows] for name in Interaction.__struct_fields__}
    return to_batch(source, len(rows), columns)


def to_batch(source: Partition, rows: int, columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """Return columns of Python values as those of ``INTERACTION_SCHEMA``.

    Parameters
    ----------
    source
        Where they come from.
    rows
        Length of the columns.
    columns
        Values by the names of the fields of `Interaction`; what is left out is null.
    """
    arrays = [_array(source, rows, columns, field) for field in INTERACTION_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=INTERACTION_SCHEMA)


def _array(
    source: Partition, rows: int, columns: Mapping[str, Sequence[Any]], field: pa.Field
) -> pa.Array:
    if field.name == "source":
        return pa.repeat(source.topic, rows)
    if field.name == "source_partition":
        return pa.array(np.full(rows, source.partition, np.int32))
    values = columns.get(_FIELDS.get(field.name, field.name))
    if values is None:
        return pa.nulls(rows, field.type)
    return _ARRAYS.get(field.name, _plain)(values, field)


def _plain(values: Sequence[Any], field: pa.Field) -> pa.Array:
    return pa.array(values, field.type)


def _time(values: Sequence[int], field: pa.Field) -> pa.Array:
    return pa.array(np.array(values, "datetime64[us]"), field.type)


def _known(values: Sequence[str | None], field: pa.Field) -> pa.Array:
    return pa.array([value or UNKNOWN for value in values], field.type)


def _map(values: Sequence[dict[str, str] | None], field: pa.Field) -> pa.Array:
    if all(entry is None for entry in values):
        return pa.nulls(len(values), field.type)
    pairs = [None if entry is None else list(entry.items()) for entry in values]
    return pa.array(pairs, field.type)


def _input(values: Sequence[bytes | None], field: pa.Field) -> pa.Array:
    offsets, validity, data = _joined(values)
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(field.type, len(values), buffers)


def _scores(packed: Sequence[bytes | None], field: pa.Field) -> pa.Array:
    offsets, validity, data = _joined(packed)
    counts = (offsets // _FLOAT32_BYTES).astype(np.int32)
    values = pa.Array.from_buffers(
        pa.float32(), len(data) // _FLOAT32_BYTES, [None, pa.py_buffer(data)]
    )
    return pa.Array.from_buffers(
        field.type, len(packed), [validity, pa.py_buffer(counts)], children=[values]
    )


def _joined(parts: Sequence[bytes | None]) -> tuple[np.ndarray[Any, Any], pa.Buffer | None, bytes]:
    """Return offsets, validity bitmap (None if all are there) and the bytes in one."""
    lengths = np.fromiter((len(part) if part else 0 for part in parts), np.int64, len(parts))
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if None not in parts:
        return offsets, None, b"".join(parts)  # type: ignore[arg-type]  # just checked
    present = np.fromiter((part is not None for part in parts), np.bool_, len(parts))
    validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    return offsets, validity, b"".join(part for part in parts if part)


#: Fields of `Interaction` that have another name as columns.
_FIELDS = {"time": "time_us", "source_offset": "offset", "source_index": "index"}
_ARRAYS: dict[str, Callable[[Sequence[Any], pa.Field], pa.Array]] = {
    "time": _time,
    "client": _known,
    "model": _known,
    "input": _input,
    "scores": _scores,
    "params": _map,
    "groups": _map,
}
