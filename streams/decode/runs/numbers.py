"""Arrays of numbers as JSON text, parsed for many events at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_COMMA, _ZERO, _TEN = np.uint8(ord(",")), np.uint8(ord("0")), np.uint8(10)
_HUNDRED, _MAX_HUNDREDS = np.uint8(100), 2
_LEAD = b",,,"
#: Integers beyond it are no longer told apart as doubles.
_EXACT = 2.0**53
_FLOATS = msgspec.json.Decoder(list[float])


def parse_uint8(texts: Sequence[bytes], count: int) -> NDArray[np.uint8] | None:
    """Return the numbers of lists that are separated by commas.

    Parameters
    ----------
    texts
        The insides of JSON arrays, without spaces.
    count
        How many numbers each of them should hold.

    Returns
    -------
    array of shape (texts, count), or None
        None if one of them holds another number of values, or anything but integers from 0 to
        255 as JSON writes them.

    Notes
    -----
    Every number ends before a comma, so that its digits are the three bytes before. That takes a
    few passes over the bytes instead of a Python integer for each number.
    """
    text = np.frombuffer(_LEAD + b",".join(texts) + b",", np.uint8)
    ends = np.flatnonzero(text[len(_LEAD) :] == _COMMA)
    if not np.array_equal(ends[count - 1 :: count], np.cumsum([len(x) + 1 for x in texts]) - 1):
        return None
    digits = text - _ZERO
    # "wrap" spares the bounds check of the default; no index is out of bounds
    ones, tens, hundreds = (digits[place:].take(ends, mode="wrap") for place in (2, 1, 0))
    has_tens = tens < _TEN
    has_hundreds = (hundreds < _TEN) & has_tens
    tens *= has_tens
    hundreds *= has_hundreds
    if ones.max() >= _TEN or hundreds.max() > _MAX_HUNDREDS:
        return None
    tens *= _TEN
    hundreds *= _HUNDRED
    values: NDArray[np.uint8] = ones + tens
    values += hundreds
    with_tens, with_hundreds = np.count_nonzero(has_tens), np.count_nonzero(has_hundreds)
    counted = len(ends) + with_tens + with_hundreds
    if (
        # all bytes but the commas are digits, and none of them was passed over
        np.count_nonzero(digits < _TEN) != counted
        or len(text) != len(_LEAD) + len(ends) + counted
        # no zero leads, and nothing above 255 has wrapped around
        or np.count_nonzero(values >= _TEN) != with_tens
        or np.count_nonzero(values >= _HUNDRED) != with_hundreds
    ):
        return None
    return values.reshape(-1, count)


def parse_floats(texts: Sequence[bytes], count: int) -> NDArray[np.float64] | None:
    """Return the numbers of lists that are separated by commas.

    Parameters
    ----------
    texts
        The insides of JSON arrays.
    count
        How many numbers each of them should hold.

    Returns
    -------
    array of shape (texts, count), or None
        None if one of them holds another number of values, or anything but numbers, or integers
        that no double tells apart.
    """
    if any(text.count(b",") != count - 1 for text in texts):
        return None
    try:
        values = np.array(_FLOATS.decode(b"[" + b",".join(texts) + b"]"), np.float64)
    except (msgspec.DecodeError, ValueError):
        return None
    if len(values) != len(texts) * count or not np.all(np.abs(values) < _EXACT):
        return None
    return values.reshape(-1, count)
