"""RFC 3339 timestamps to microseconds, a column at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: What stands between the numbers; the fraction is told by the length.
_SEPARATORS = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":"}
_FIELDS = {"year": (0, 4), "month": (5, 7), "day": (8, 10), "h": (11, 13), "m": (14, 16)}
_SECONDS_END = 19
_ZONES = (b"Z", b"+00:00")
_MAX_FRACTION = 6
_DAY_S = 86_400


def parse_times_us(texts: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return microseconds since the epoch, and which of the texts could be read.

    Only timestamps in UTC of the most usual length are read here, with a fraction of up to six
    digits; the others are not wrong.

    Examples
    --------
    >>> parse_times_us([b"1970-01-01T00:00:01.500Z", b"yesterday"])
    (array([1500000,       0]), array([ True, False]))
    """
    times = np.zeros(len(texts), np.int64)
    length = Counter(map(len, texts)).most_common(1)[0][0]
    known = np.fromiter((len(text) == length for text in texts), np.bool_, len(texts))
    some = texts if known.all() else [text for text in texts if len(text) == length]
    chars = np.frombuffer(b"".join(some), np.uint8).reshape(len(some), length)
    zone = next((zone for zone in _ZONES if some[0].endswith(zone)), None)
    if zone is None or not _is_layout(length - len(zone)):
        return times, np.zeros_like(known)
    times[known], known[known] = _read(chars, length - len(zone), zone)
    times[~known] = 0
    return times, known


def _is_layout(digits_end: int) -> bool:
    return digits_end == _SECONDS_END or 1 <= digits_end - _SECONDS_END - 1 <= _MAX_FRACTION


def _read(
    chars: NDArray[np.uint8], end: int, zone: bytes
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read rows whose numbers end at ``end``."""
    separators = _SEPARATORS if end == _SECONDS_END else {**_SEPARATORS, _SECONDS_END: b"."}
    fine = (chars[:, end:] == np.frombuffer(zone, np.uint8)).all(axis=1)
    for at, separator in separators.items():
        fine &= chars[:, at] == ord(separator)
    digits = chars[:, :end] - np.uint8(ord("0"))
    fine &= (np.delete(digits, list(separators), axis=1) < 10).all(axis=1)
    digits[~fine] = 1  # any date that there is
    number = {name: _number(digits[:, start:stop]) for name, (start, stop) in _FIELDS.items()}
    seconds = _number(digits[:, 17:19])
    fraction = digits[:, 20:end]
    micros = _number(fraction) * 10 ** (_MAX_FRACTION - fraction.shape[1])
    month = number["year"] * 12 + number["month"] - 1 - 1970 * 12
    first, after = (_days(month + step) for step in (0, 1))
    fine &= (number["month"] - 1 < 12) & (number["month"] > 0) & (number["day"] > 0)
    fine &= (number["year"] > 0) & (number["day"] <= after - first)
    fine &= (number["h"] < 24) & (number["m"] < 60) & (seconds < 60)
    days = first + number["day"] - 1
    second = days * _DAY_S + number["h"] * 3600 + number["m"] * 60 + seconds
    return second * 1_000_000 + micros, fine


def _number(digits: NDArray[np.uint8]) -> NDArray[np.int64]:
    places = digits.shape[1]
    weights = 10 ** np.arange(places - 1, -1, -1, dtype=np.int64)
    value: NDArray[np.int64] = digits.astype(np.int64) @ weights
    return value


def _days(month: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the day on which a month begins, both counted from the epoch."""
    months: NDArray[Any] = month.astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
