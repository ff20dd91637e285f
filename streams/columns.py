"""Arrow columns as NumPy arrays: views where Arrow allows it, copies where nulls forbid it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TensorRows = list[tuple["NDArray[np.intp]", "NDArray[Any]"]]

#: dtypes a tensor may have; anything else is not scanned.
NUMERIC_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in [
        "bool",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "float32",
        "float64",
    ]
}


def times_us(column: pa.Array) -> NDArray[np.int64]:
    """Return event times as microseconds since the epoch."""
    return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def integers(column: pa.Array, dtype: type[np.integer[Any]], missing: int) -> NDArray[Any]:
    """Return an integer column with ``missing`` in place of nulls."""
    if column.null_count:
        column = column.fill_null(missing)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(dtype, copy=False)


def codes(column: pa.Array) -> tuple[NDArray[np.int32], tuple[str | None, ...]]:
    """Return a string column as indexes into its distinct values, nulls as -1."""
    encoded = column.dictionary_encode()
    indexes = integers(encoded.indices, np.int32, -1)
    return indexes, tuple(encoded.dictionary.to_pylist())


def payload_hashes(column: pa.Array) -> NDArray[np.uint64]:
    """Return the first eight bytes of each 16-byte hash as a number, 0 for nulls.

    Notes
    -----
    A fixed-size binary array keeps its values in one buffer, also those of null rows.
    """
    rows = len(column)
    if column.null_count == rows:
        return np.zeros(rows, np.uint64)
    raw = np.frombuffer(column.buffers()[1], np.uint64)
    hashes = raw[2 * column.offset : 2 * (column.offset + rows) : 2].copy()
    if column.null_count:
        hashes[~column.is_valid().to_numpy(zero_copy_only=False)] = 0
    return hashes


def map_entries(column: pa.MapArray, names: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield row, name and value of the entries with some names; nulls are left out."""
    offsets = np.asarray(column.offsets.to_numpy(), np.int64)
    span = int(offsets[0]), int(offsets[-1] - offsets[0])
    keys, values = column.keys.slice(*span), column.items.slice(*span)
    wanted = pc.fill_null(pc.is_in(keys, pa.array(list(names), pa.string())), fill_value=False)
    at = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    rows = np.searchsorted(offsets, at + offsets[0], side="right") - 1
    some = pa.array(at)
    for row, name, value in zip(
        rows.tolist(), keys.take(some).to_pylist(), values.take(some).to_pylist(), strict=True
    ):
        if value is not None and column[row].is_valid:
            yield row, name, value


def list_lengths(column: pa.Array) -> NDArray[np.int32]:
    """Return the length of each list, 0 for nulls."""
    offsets = np.asarray(column.offsets.to_numpy(), np.int64)
    lengths = np.diff(offsets).astype(np.int32)
    if column.null_count:
        lengths[~column.is_valid().to_numpy(zero_copy_only=False)] = 0
    return lengths


def score_rows(column: pa.Array, classes: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the rows that have ``classes`` scores, and these as a matrix."""
    lengths = list_lengths(column)
    rows = np.flatnonzero(lengths == classes)
    values = np.asarray(column.values.fill_null(np.nan).to_numpy(zero_copy_only=False), np.float32)
    starts = np.asarray(column.offsets.to_numpy(), np.int64)[:-1][rows]
    if len(rows) == len(lengths) and len(rows):
        return rows, values[starts[0] : starts[0] + len(rows) * classes].reshape(-1, classes)
    return rows, values[starts[:, None] + np.arange(classes)]


def tensor_rows(batch: pa.RecordBatch, *, elements: int, floating: bool) -> TensorRows:
    """Group the rows whose tensor fits a profile by dtype.

    Parameters
    ----------
    batch
        Interactions.
    elements
        How many numbers an input of the model has.
    floating
        Whether the model was calibrated on real numbers; integers are then not comparable.

    Returns
    -------
    list of (rows, values)
        ``values`` has shape (len(rows), elements).
    """
    inputs = batch.column("input")
    offsets = np.frombuffer(inputs.buffers()[1], np.int64)
    offsets = offsets[inputs.offset : inputs.offset + len(inputs) + 1]
    lengths = np.diff(offsets)
    present = inputs.is_valid().to_numpy(zero_copy_only=False)
    dtype_codes, names = codes(batch.column("input_dtype"))
    data = inputs.buffers()[2]
    groups: TensorRows = []
    for code, name in enumerate(names):
        dtype = NUMERIC_DTYPES.get(name or "")
        if dtype is None or (dtype.kind == "f") != floating or data is None:
            continue
        fits = present & (dtype_codes == code) & (lengths == elements * dtype.itemsize)
        rows = np.flatnonzero(fits)
        if len(rows):
            groups.append((rows, _gather(data, offsets[rows], elements, dtype)))
    return groups


def _gather(
    data: pa.Buffer, starts: NDArray[np.int64], elements: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    width = elements * dtype.itemsize
    raw = np.frombuffer(data, np.uint8)
    first, last = int(starts[0]), int(starts[-1]) + width
    if last - first == len(starts) * width:
        rows = raw[first:last].reshape(len(starts), width)
    else:
        rows = raw[starts[:, None] + np.arange(width)]
    return np.ascontiguousarray(rows).view(dtype)
