"""The protobuf wire format, read without generated code and within bounds.

The few messages that producers send (Open Inference Protocol, OTLP traces) need their fields by
number and nothing else. Nesting is bounded by the messages' own readers, and so is how often a
byte of the record is copied.

References
----------
Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
#: A message of a producer has some hundred; a record of nothing but fields would cost seconds.
MAX_FIELDS = 1 << 16
_MAX_VARINT_BYTES = 10
_LOW_BITS, _MORE = 0x7F, 0x80
_MASK64 = (1 << 64) - 1
_SIGN64 = 1 << 63
_UNSIGNED = {FIXED64: "<Q", FIXED32: "<I"}

Value = int | bytes
Field = tuple[int, int, Value]


def read_fields(data: bytes, limit: int = MAX_FIELDS) -> Iterator[Field]:
    """Yield number, wire type and value of each field.

    Varints and fixed-width values are unsigned integers.

    Raises
    ------
    PoisonRecord
        With reason ``malformed_protobuf`` or ``too_many_fields``.
    """
    end, at = len(data), 0
    for _ in range(limit):
        if at == end:
            return
        # most tags and sizes are of one byte: this runs for every field
        tag, at = (data[at], at + 1) if data[at] < _MORE else _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise poison("malformed_protobuf")
        if wire == BYTES:
            is_short = at < end and data[at] < _MORE
            size, start = (data[at], at + 1) if is_short else _varint(data, at)
            at = start + size
            if at > end:
                raise poison("malformed_protobuf")
            yield number, wire, data[start:at]
        else:
            value, at = _number(data, at, end, wire)
            yield number, wire, value
    if at != end:
        raise poison("too_many_fields")


def write_field(number: int, data: bytes) -> bytes:
    r"""Return a length-delimited field.

    Examples
    --------
    >>> write_field(2, b"abc")
    b'\x12\x03abc'
    """
    length, size = bytearray([number << 3 | BYTES]), len(data)
    while size > _LOW_BITS:
        length.append(size & _LOW_BITS | _MORE)
        size >>= 7
    return bytes([*length, size]) + data


def _number(data: bytes, at: int, end: int, wire: int) -> tuple[int, int]:
    if wire == VARINT:
        return _varint(data, at)
    code = _UNSIGNED.get(wire)
    if code is None:  # groups have been deprecated since before any of these producers
        raise poison("malformed_protobuf")
    size = struct.calcsize(code)
    if size > end - at:
        raise poison("malformed_protobuf")
    number: int = struct.unpack_from(code, data, at)[0]
    return number, at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + _MAX_VARINT_BYTES]:
        at += 1
        value |= (byte & _LOW_BITS) << shift
        if byte < _MORE:
            return value & _MASK64, at
        shift += 7
    raise poison("malformed_protobuf")


def as_bytes(value: Value) -> bytes:
    """Return a length-delimited value.

    Raises
    ------
    PoisonRecord
        If the field has another wire type.
    """
    if isinstance(value, int):
        raise poison("malformed_protobuf")
    return value


def as_text(value: Value, limit: int | None = None) -> str:
    """Return a string field.

    Raises
    ------
    PoisonRecord
        If it is none, not UTF-8 or longer than ``limit`` bytes.
    """
    data = as_bytes(value)
    if limit is not None and len(data) > limit:
        raise poison("attribute_too_long")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise poison("invalid_utf8") from None


def as_unsigned(value: Value) -> int:
    """Return an integer field.

    Raises
    ------
    PoisonRecord
        If the field has another wire type.
    """
    if not isinstance(value, int):
        raise poison("malformed_protobuf")
    return value


def as_signed(value: Value) -> int:
    """Return an integer field in two's complement of 64 bits.

    Raises
    ------
    PoisonRecord
        If the field has another wire type.
    """
    number = as_unsigned(value)
    return number - (1 << 64) if number & _SIGN64 else number


def as_double(value: Value) -> float:
    """Return a double field.

    Raises
    ------
    PoisonRecord
        If the field has another wire type.
    """
    number: float = struct.unpack("<d", struct.pack("<Q", as_unsigned(value)))[0]
    return number


def packed_varints(data: bytes, limit: int) -> NDArray[np.uint64]:
    """Return the integers of a packed field, at most ``limit`` of them.

    Raises
    ------
    PoisonRecord
        If the field is cut short, a number is too long, or there are too many.
    """
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(ends) > limit:
        raise poison("too_many_elements")
    if not len(raw):
        return np.zeros(0, np.uint64)
    if len(ends) == len(raw):  # small numbers only, one byte each
        return raw.astype(np.uint64)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise poison("malformed_protobuf")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _MAX_VARINT_BYTES:
        raise poison("malformed_protobuf")
    values = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        longer = lengths > place
        bits = (raw[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values


def packed_fixed(data: bytes, dtype: str) -> NDArray[Any]:
    """Return the fixed-width numbers of a packed field.

    Raises
    ------
    PoisonRecord
        If the field is cut short.
    """
    if len(data) % np.dtype(dtype).itemsize:
        raise poison("malformed_protobuf")
    return np.frombuffer(data, dtype)
