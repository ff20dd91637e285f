"""Headers of many records as columns, one for each attribute that they bring.

Producers write the same headers in the same order into every record, those that never change
mostly first. So what all records begin with is read once, and the headers behind it one after
the other, each for all records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from aiokafka.errors import CorruptRecordException
from numpy.lib.stride_tricks import sliding_window_view

from config.errors import PoisonRecord
from streams.decode.envelope import attribute_of
from streams.records.varints import read_varint, read_varints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from streams.records import RecordColumns

T = TypeVar("T")
_WRONG = object()
#: Records whose headers are tried as those of most others.
_TRIES = 3


class Heads:
    """Attributes of records whose headers have the same names in the same order.

    Parameters
    ----------
    at
        Which of the records these are, rising.
    constants
        Attributes that all of them share.
    columns
        Values of each other attribute, one a record.

    Attributes
    ----------
    bad
        Places, counted here, of the records with a value that could not be read.
    """

    def __init__(
        self, at: list[int], constants: dict[str, bytes], columns: dict[str, list[bytes]]
    ) -> None:
        self.at = at
        self.constants = constants
        self.columns = columns
        self.bad: set[int] = set()

    def __contains__(self, name: str) -> bool:
        """Say whether the records have an attribute."""
        return name in self.constants or name in self.columns

    def values(self, name: str) -> Sequence[bytes] | None:
        """Return an attribute of each record; None without it."""
        if name in self.constants:
            return [self.constants[name]] * len(self.at)
        return self.columns.get(name)

    def read(self, name: str, make: Callable[[str], T]) -> list[T | None] | None:
        """Return what ``make`` makes of an attribute; it is called once for each value.

        Returns
        -------
        list or None
            None without the attribute. The record is bad, and its entry without a meaning, where
            a value is not UTF-8, or ``make`` refuses it.
        """
        if name in self.constants:
            shared = _made(self.constants[name], make)
            if shared is _WRONG:
                self.bad.update(range(len(self.at)))
            return [shared] * len(self.at)
        column = self.columns.get(name)
        if column is None:
            return None
        made = {value: _made(value, make) for value in set(column)}
        wrong = {value for value, result in made.items() if result is _WRONG}
        if wrong:
            self.bad.update(place for place, value in enumerate(column) if value in wrong)
        return [made[value] for value in column]

    def only(self, chosen: Sequence[int]) -> Heads:
        """Return those of some records, given by their places here."""
        if len(chosen) == len(self.at):
            return self
        return Heads(
            [self.at[place] for place in chosen],
            self.constants,
            {name: [column[place] for place in chosen] for name, column in self.columns.items()},
        )


def read_heads(columns: RecordColumns, limit: int) -> Heads | None:
    """Read the headers of those records that have the most usual names.

    Parameters
    ----------
    columns
        Of a partition's records, at least one.
    limit
        Length that a value may have, in bytes.

    Returns
    -------
    Heads or None
        None if an attribute comes twice. Records with a value that is missing or too long are
        left out.
    """
    shared = _shared_bytes(columns)
    left = np.arange(len(columns.offsets))
    best: list[_Header] = []
    for _ in range(_TRIES):
        pattern = columns.data[columns.head_starts[left[0]] : columns.head_stops[left[0]]]
        headers = _read_like(pattern, columns, shared, limit)
        rows = headers[0].rows if headers else left[:1]
        if headers and (not best or len(rows) > len(best[0].rows)):
            best = headers
        if len(rows) == len(columns.offsets):
            break
        left = np.setdiff1d(left[1:], rows)
        if len(left) <= (len(best[0].rows) if best else 0):
            break
    return _heads(columns.data, best)


def _shared_bytes(columns: RecordColumns) -> int:
    """Return how many bytes all headers begin with."""
    length = int((columns.head_stops - columns.head_starts).min())
    begins = _texts(np.frombuffer(columns.data, np.uint8), columns.head_starts, length)
    differs = (begins != begins[0]).any(axis=0)
    return int(differs.argmax()) if differs.any() else length


def _texts(data: NDArray[np.uint8], at: NDArray[np.int64], length: int) -> NDArray[np.uint8]:
    """Return the bytes at some places, a row each."""
    found: NDArray[np.uint8] = sliding_window_view(data, length)[at]
    return found


def _read_like(pattern: bytes, columns: RecordColumns, shared: int, limit: int) -> list[_Header]:
    """Return the headers of the records that have those of one of them; nothing if it has none."""
    try:
        return _Walk(columns, limit).read(pattern, shared)
    except (IndexError, CorruptRecordException):
        return []  # reading the record alone will tell


class _Header(NamedTuple):
    """A header of some records: its value, if they share it, else where each one is."""

    name: str
    rows: NDArray[np.int64]
    value: bytes | None
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def only(self, rows: NDArray[np.int64]) -> _Header:
        if self.value is not None:
            return self._replace(rows=rows)
        kept = np.isin(self.rows, rows, assume_unique=True)
        return self._replace(rows=rows, starts=self.starts[kept], stops=self.stops[kept])


class _Walk:
    """Goes through the headers of all records at once; who has other ones is left behind."""

    def __init__(self, columns: RecordColumns, limit: int) -> None:
        self._data = np.frombuffer(columns.data, np.uint8)
        self._limit = limit
        self._rows = np.arange(len(columns.head_starts))
        self._at = columns.head_starts
        self._stops = columns.head_stops

    def read(self, pattern: bytes, shared: int) -> list[_Header]:
        """Return the headers that ``pattern`` has, of the records that have them too.

        Parameters
        ----------
        pattern
            Headers of one record.
        shared
            How many of its first bytes all records have.
        """
        count, at = read_varint(pattern, 0)
        told = 0
        headers: list[_Header] = []
        for _ in range(count):
            name_bytes, name_stop = read_varint(pattern, at)
            name_stop += name_bytes
            value_bytes, value_at = read_varint(pattern, name_stop)
            if name_bytes < 0 or not 0 <= value_bytes <= self._limit:
                return []
            stop = value_at + value_bytes
            name = pattern[name_stop - name_bytes : name_stop].decode("utf-8", "replace")
            if stop <= shared:
                value, starts = pattern[value_at:stop], self._at[:0]
                headers.append(_Header(name, self._rows, value, starts, starts))
            else:
                self._skip(pattern[told:name_stop], shared - told)
                headers.append(self._value(name))
                told = stop
            at = stop
        self._skip(pattern[told:at], shared - told)
        self._keep(self._at == self._stops)
        if all(len(header.rows) == len(self._rows) for header in headers):
            return headers
        return [header.only(self._rows) for header in headers]

    def _skip(self, text: bytes, known: int) -> None:
        """Go past a text; who has another one there is left behind.

        ``known`` of its bytes are there for sure.
        """
        known = min(max(known, 0), len(text))
        text, self._at = text[known:], self._at + known
        self._keep(self._at + len(text) <= self._stops)
        if text and len(self._rows):
            found = _texts(self._data, self._at, len(text))
            self._at = self._at + len(text)
            self._keep((found == np.frombuffer(text, np.uint8)).all(axis=1))

    def _value(self, name: str) -> _Header:
        """Go past a value; who has none, or too long a one, is left behind."""
        self._keep(self._at < self._stops)
        length, starts = read_varints(self._data, self._at)
        stops = starts + length
        fits = (length >= 0) & (length <= self._limit) & (stops <= self._stops)
        self._at = stops
        self._keep(fits)
        return _Header(name, self._rows, None, starts[fits], stops[fits])

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        if not kept.all():
            self._rows, self._at = self._rows[kept], self._at[kept]
            self._stops = self._stops[kept]


def _heads(data: bytes, headers: Sequence[_Header]) -> Heads | None:
    """Slice the values of those headers that are attributes."""
    if not headers or not len(headers[0].rows):
        return None
    constants: dict[str, bytes] = {}
    columns: dict[str, list[bytes]] = {}
    for header in headers:
        name = attribute_of(header.name)
        if name is None:
            continue
        if name in constants or name in columns:
            return None
        if header.value is not None:
            constants[name] = header.value
            continue
        spans = zip(header.starts.tolist(), header.stops.tolist(), strict=True)
        values = [data[start:stop] for start, stop in spans]
        if values.count(values[0]) == len(values):
            constants[name] = values[0]
        else:
            columns[name] = values
    if not constants and not columns:
        return None
    return Heads(headers[0].rows.tolist(), constants, columns)


def _made(value: bytes, make: Callable[[str], T]) -> Any:
    """Return what ``make`` makes of a value, `_WRONG` if it cannot be read."""
    try:
        return make(value.decode())
    except (PoisonRecord, UnicodeDecodeError):
        return _WRONG
