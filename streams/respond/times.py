"""Event times as text: ISO 8601, in UTC, microseconds, so that they also compare as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from config.errors import PoisonRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def event_time(text: str) -> datetime:
    """Parse an event time.

    Raises
    ------
    PoisonRecord
        If it is no ISO 8601 time with a zone.
    """
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PoisonRecord("bad_time", "an event time is ISO 8601 with a zone")


def iso(time: datetime) -> str:
    """Write a UTC time in the one form that Vedette uses.

    Examples
    --------
    >>> iso(datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T00:00:00.000000Z'
    """
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(time: datetime) -> int:
    """Return microseconds since the epoch."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def iso_us(time_us: int) -> str:
    """Write microseconds since the epoch in the same form.

    Examples
    --------
    >>> iso_us(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return iso(from_us(time_us))


def from_us(time_us: int) -> datetime:
    """Return the UTC time of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=time_us)
