"""Names the records in which a sequence differs from the one that was signed.

Every record has another hash, so each that was signed has one place. The longest run whose
places rise is what was left alone; a record outside it was moved. Where places are missing and
records are too many between two of the run, the ones stand for the others: they were altered.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streams.ledger.report import Kind


class Difference(NamedTuple):
    """What happened at a place; ``at``: index of the record held there, or of the one before it."""

    kind: Kind
    place: int
    at: int


class Gap(NamedTuple):
    """What lies between two records, by index and place: places without one, ones without."""

    at: int
    place: int
    missing: list[int]
    unsigned: list[int]


class Comparison(NamedTuple):
    """Held against signed records; what the outer gaps mean only the caller knows."""

    matched: int
    moved: list[Difference]
    before: Gap
    inner: list[Gap]
    after: Gap


def compare(first: int, signed: Sequence[bytes], held: Sequence[bytes]) -> Comparison | None:
    """Compare hashes with those that were signed for the places from ``first`` on.

    Returns
    -------
    Comparison or None
        None if nothing that is held was signed.
    """
    places = {leaf: first + number for number, leaf in enumerate(signed)}
    # A second copy of a record has no place.
    found = [places.pop(leaf, None) for leaf in held]
    run = _longest_rising(found)
    if not run:
        return None
    absent = sorted(places.values())
    ends = [(-1, first - 1), *run, (len(held), first + len(signed))]
    before, *inner, after = (
        _gap(found, absent, *pair)
        for number, pair in enumerate(pairwise(ends))
        if number in {0, len(run)} or _apart(*pair)
    )
    kept = {index for index, _ in run}
    moved = [
        Difference("moved", place, index)
        for index, place in enumerate(found)
        if place is not None and index not in kept
    ]
    return Comparison(len(held) - found.count(None), moved, before, inner, after)


def explained(gap: Gap, *, at_end: bool = False) -> Iterator[Difference]:
    """Say what happened in a gap; ``at_end``: what lies there is counted from its end."""
    missing, unsigned = (values[::-1] if at_end else values for values in gap[2:])
    for place, index in zip_longest(missing, unsigned):
        if place is None:
            yield Difference("inserted", gap.place, index)
        elif index is None:
            yield Difference("removed", place, gap.at)
        else:
            yield Difference("altered", place, index)


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] - one[0] > 1 or other[1] - one[1] > 1


def _gap(
    found: Sequence[int | None],
    absent: Sequence[int],
    one: tuple[int, int],
    other: tuple[int, int],
) -> Gap:
    """Return what lies between two records, given as index and place."""
    missing = absent[bisect_left(absent, one[1]) : bisect_left(absent, other[1])]
    unsigned = [index for index in range(one[0] + 1, other[0]) if found[index] is None]
    return Gap(one[0], other[1], list(missing), unsigned)


def _longest_rising(found: Iterable[int | None]) -> list[tuple[int, int]]:
    """Return the longest run of rising places, each with its index (patience sorting)."""
    tops: list[int] = []
    ends: list[tuple[int, int]] = []
    before: dict[int, tuple[int, int]] = {}
    for index, place in enumerate(found):
        if place is None:
            continue
        pile = bisect_left(tops, place)
        if pile:
            before[index] = ends[pile - 1]
        tops[pile : pile + 1] = [place]
        ends[pile : pile + 1] = [(index, place)]
    run = ends[-1:]
    while run and run[-1][0] in before:
        run.append(before[run[-1][0]])
    return run[::-1]
