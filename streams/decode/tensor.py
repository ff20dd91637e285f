"""Tensors as JSON: a flat or nested list of values of one datatype, bounded before it is packed.

Values become row-major little-endian bytes. Nothing is rounded silently: an integer that does
not fit its datatype, or a float in an integer tensor, refuses the record.
"""

from __future__ import annotations

import math
import sys
from array import array
from typing import Any

import numpy as np

from streams.decode.reasons import poison

#: Open Inference Protocol datatype -> (type code of `array`, NumPy name, item size).
DATATYPES: dict[str, tuple[str, str, int]] = {
    "BOOL": ("?", "bool", 1),
    "UINT8": ("B", "uint8", 1),
    "UINT16": ("H", "uint16", 2),
    "UINT32": ("I", "uint32", 4),
    "UINT64": ("Q", "uint64", 8),
    "INT8": ("b", "int8", 1),
    "INT16": ("h", "int16", 2),
    "INT32": ("i", "int32", 4),
    "INT64": ("q", "int64", 8),
    "FP16": ("e", "float16", 2),
    "FP32": ("f", "float32", 4),
    "FP64": ("d", "float64", 8),
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
MAX_DIMENSIONS = 16
_SWAP = sys.byteorder == "big"
_FEW = 64


def element_count(shape: list[int], limit: int) -> int:
    """Return the product of ``shape``, refusing absurd ones before multiplying on.

    Raises
    ------
    PoisonRecord
        If a dimension is below 1 or the tensor is too large.
    """
    if not shape or len(shape) > MAX_DIMENSIONS:
        raise poison("bad_shape")
    count = 1
    for dimension in shape:
        if dimension < 1:
            raise poison("bad_shape")
        count *= dimension
        if count > limit:
            raise poison("too_many_elements")
    return count


def flatten(data: list[Any], limit: int) -> list[Any]:
    """Return the values of nested lists in row-major order.

    Raises
    ------
    PoisonRecord
        If there are more values than ``limit``, or levels than a shape may have.
    """
    for _ in range(MAX_DIMENSIONS):
        nested = [isinstance(item, list) for item in data]
        if not any(nested):
            return data
        if not all(nested) or sum(map(len, data)) > limit:
            raise poison("shape_mismatch")
        data = [value for item in data for value in item]
    raise poison("bad_shape")


def hash_head(dtype: str | None, shape: list[int] | None) -> bytes:
    """Return what stands before the bytes of a tensor when it is hashed."""
    return f"{dtype}{shape}\0".encode()


def pack(values: list[Any], datatype: str) -> bytes:
    """Pack ``values`` as ``datatype``.

    Raises
    ------
    PoisonRecord
        If a value does not fit.
    """
    if datatype == "UINT8":
        return _packed_bytes(values)
    if datatype in ("BOOL", "FP16"):
        return _packed_by_numpy(values, datatype)
    code = DATATYPES[datatype][0]
    try:
        packed = array(code, values)
    except TypeError:
        raise poison("wrong_value_type") from None
    except OverflowError:
        raise poison("value_out_of_range") from None
    if code == "f" and not _all_finite(packed):
        raise poison("non_finite")
    if _SWAP:
        packed.byteswap()
    return packed.tobytes()


def _packed_bytes(values: list[Any]) -> bytes:
    try:
        return bytes(values)
    except TypeError:
        raise poison("wrong_value_type") from None
    except ValueError:
        raise poison("value_out_of_range") from None


def _packed_by_numpy(values: list[Any], datatype: str) -> bytes:
    wanted: type | tuple[type, ...] = bool if datatype == "BOOL" else (int, float)
    if not all(isinstance(value, wanted) for value in values):
        raise poison("wrong_value_type")
    try:
        with np.errstate(over="ignore"):
            packed = np.array(values, np.bool_ if datatype == "BOOL" else "<f2")
    except OverflowError:
        raise poison("value_out_of_range") from None
    if not np.isfinite(packed).all():
        raise poison("non_finite")
    return packed.tobytes()


def _all_finite(packed: array[float]) -> bool:
    if len(packed) <= _FEW:
        return math.isfinite(sum(packed))  # doubles: a sum of finite float32 stays finite
    return bool(np.isfinite(np.frombuffer(packed, np.float32)).all())
