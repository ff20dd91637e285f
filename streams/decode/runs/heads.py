"""Headers of many records as columns, one for each attribute that they bring."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from config.errors import PoisonRecord
from streams.decode.envelope import attribute_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.roles.base import Record

T = TypeVar("T")
_WRONG = object()


class Heads:
    """Attributes of records whose headers have the same names in the same order.

    Parameters
    ----------
    at
        Which of the records these are.
    columns
        Values of each attribute, one a record.

    Attributes
    ----------
    bad
        Places, counted here, of the records with a value that could not be read.
    """

    def __init__(self, at: list[int], columns: dict[str, list[bytes]]) -> None:
        self.at = at
        self.columns = columns
        self.bad: set[int] = set()

    def constant(self, name: str) -> bytes | None:
        """Return an attribute that all records share; None if they do not."""
        column = self.columns.get(name)
        if not column or column.count(column[0]) != len(column):
            return None
        return column[0]

    def read(self, name: str, make: Callable[[str], T]) -> list[T | None] | None:
        """Return what ``make`` makes of an attribute; it is called once for each value.

        Returns
        -------
        list or None
            None without the attribute. The record is bad, and its entry without a meaning, where
            a value is not UTF-8, or ``make`` refuses it.
        """
        column = self.columns.get(name)
        if column is None:
            return None
        shared = self.constant(name)
        made = {
            value: _made(value, make) for value in (set(column) if shared is None else [shared])
        }
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
            {name: [column[place] for place in chosen] for name, column in self.columns.items()},
        )


def read_heads(records: Sequence[Record], limit: int) -> Heads | None:
    """Read the headers of those records that have the most usual names.

    Parameters
    ----------
    limit
        Length that a value may have, in bytes.

    Returns
    -------
    Heads or None
        None if an attribute comes twice. Records with a value that is missing or too long are
        left out.
    """
    names: Sequence[str] = [name for name, _ in records[0].headers]
    at, columns = list(range(len(records))), _columns(records, names)
    if columns is None:
        names, at = _most_usual(records)
        columns = _columns([records[place] for place in at], names)
    attributes = [attribute_of(name) for name in names]
    found = [name for name in attributes if name is not None]
    if columns is None or not found or len(set(found)) < len(found):
        return None
    heads = Heads(
        at, {name: column for name, column in zip(attributes, columns, strict=True) if name}
    )
    return heads.only(_within(heads, limit))


def _columns(records: Sequence[Record], names: Sequence[str]) -> list[list[bytes]] | None:
    """Return the values of each header; None if a record has other ones."""
    headers = [record.headers for record in records]
    if set(map(len, headers)) != {len(names)} or not names:
        return None
    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(headers)))
    stride = 2 * len(names)
    for place, name in enumerate(names):
        if flat[2 * place :: stride].count(name) != len(records):
            return None
    return [flat[2 * place + 1 :: stride] for place in range(len(names))]


def _most_usual(records: Sequence[Record]) -> tuple[tuple[str, ...], list[int]]:
    names = [tuple([name for name, _ in record.headers]) for record in records]
    usual = Counter(names).most_common(1)[0][0]
    return usual, [place for place, these in enumerate(names) if these == usual]


def _within(heads: Heads, limit: int) -> Sequence[int]:
    """Return the places of records whose values are all there and not too long."""
    everyone = range(len(heads.at))
    bad: set[int] = set()
    for column in heads.columns.values():
        if None in column or max(map(len, column)) > limit:
            bad.update(
                place for place in everyone if column[place] is None or len(column[place]) > limit
            )
    return [place for place in everyone if place not in bad] if bad else everyone


def _made(value: bytes, make: Callable[[str], T]) -> Any:
    """Return what ``make`` makes of a value, `_WRONG` if it cannot be read."""
    try:
        return make(value.decode())
    except (PoisonRecord, UnicodeDecodeError):
        return _WRONG
