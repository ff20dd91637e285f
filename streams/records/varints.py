"""Zigzag varints as Kafka writes them, one alone and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from aiokafka.errors import CorruptRecordException

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_SHIFT = 63
_MORE = 0x80


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends.

    Raises
    ------
    IndexError
        If the data end before it does.
    CorruptRecordException
        If it has more than 64 bits.

    Examples
    --------
    >>> read_varint(bytes([5, 0x96, 0x01]), 1)
    (75, 3)
    """
    byte = data[at]
    at += 1
    value, shift = byte & 0x7F, 7
    while byte & _MORE:
        if shift > _MAX_SHIFT:
            raise CorruptRecordException("a varint is too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (value >> 1) ^ -(value & 1), at


def read_varints(
    data: NDArray[np.uint8], at: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers at some places, and where each ends.

    Raises
    ------
    IndexError
        If the data end before one does.
    CorruptRecordException
        If one has more than 64 bits.
    """
    byte = data[at]
    value = (byte & 0x7F).astype(np.int64)
    at = at + 1
    shift = 7
    while byte.max(initial=0) >= _MORE:
        if shift > _MAX_SHIFT:
            raise CorruptRecordException("a varint is too long")
        # those that have ended read a byte of nothing, and stay where they are
        goes_on = byte >= _MORE
        byte = np.where(goes_on, data[np.where(goes_on, at, 0)], np.uint8(0))
        value |= (byte & 0x7F).astype(np.int64) << shift
        at += goes_on
        shift += 7
    return (value >> 1) ^ -(value & 1), at
