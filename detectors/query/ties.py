"""Inputs that differ from an earlier one by the same amount in many places.

Two inputs differ by all kinds of amounts, and so do an input and a shifted, turned or lit copy of
it. A search within a box goes to the corners: it changes an input by plus or minus one step,
wherever it changes it at all. Such changes tie, whatever the step, from the very first query on.

Elements of few queries are kept, spread over the input. What most of them changed by is no news
(nothing, or the same light on everything); counted is the second most frequent change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.tables import ClientTable
from detectors.tails import high_tail

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from detectors.base import Segments

#: Queries that a new one is compared with: a search may send four others between its own.
KEPT = 5
#: Elements that are compared.
ELEMENTS = 64
#: The golden ratio in units of 2**-16: its multiples spread evenly between whole numbers.
_GOLDEN, _UNIT = 40503, 1 << 16
#: Changes are told apart in steps of so many shades (as a power of two).
_SHIFT = 3
_STEPS = 256 >> _SHIFT
#: Pairs of the reference that are compared, and pairs at once.
_PAIRS, _CHUNK = 20_000, 1024


class Ties:
    """The last queries of clients by few of their elements.

    Parameters
    ----------
    view_size
        Elements of a view.
    """

    def __init__(self, max_clients: int, view_size: int) -> None:
        self._places = places(view_size)
        self.table = ClientTable(
            max_clients,
            {
                "shade": ((KEPT, len(self._places)), np.uint8),
                "seen": ((), np.int32),
            },
        )

    def observe(
        self, segments: Segments, view: NDArray[np.uint8], new: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Compare queries with the client's last ones, and remember the new ones.

        Parameters
        ----------
        view
            uint8 (n, v), sorted like ``segments``.
        new
            bool (n,): no exact repetition.

        Returns
        -------
        int64 (n,) elements that tie with one of the earlier queries, and how many of these there
        are.
        """
        shade = view[:, self._places]
        seen = self.table["seen"][segments.slots].astype(np.int64)
        before: NDArray[np.int64] = np.cumsum(new) - new
        before = before - np.repeat(before[segments.starts], segments.counts)
        number = np.repeat(seen, segments.counts) + before
        group = np.repeat(np.arange(len(segments.slots)), segments.counts)
        held, fresh = len(segments.slots) * KEPT, np.flatnonzero(new)
        known = np.concatenate(
            [self.table["shade"][segments.slots].reshape(held, -1), shade[fresh]]
        )
        at = _places_of_earlier(segments, group, number, before, fresh)
        entries = np.minimum(number, KEPT)
        tied = np.zeros(len(view), np.int64)
        for start in range(0, len(view), _CHUNK // KEPT):
            rows = slice(start, start + _CHUNK // KEPT)
            counts = tied_elements(shade[rows, None], known[at[rows]])
            valid = np.arange(KEPT) < entries[rows, None]
            tied[rows] = np.where(valid, counts, 0).max(axis=1)
        self.table["shade"][segments.slot[fresh], number[fresh] % KEPT] = shade[fresh]
        self.table["seen"][segments.slots] += np.bincount(group[fresh], minlength=len(seen))
        return tied, entries


def _places_of_earlier(
    segments: Segments,
    group: NDArray[np.intp],
    number: NDArray[np.int64],
    before: NDArray[np.int64],
    fresh: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Return where the queries 1, 2, ... before each row are, among held and fresh ones.

    Rows are of the clients ``group``, have the ``number`` among all new queries of them, and
    ``before`` of these came in this batch.
    """
    lag = np.arange(1, KEPT + 1)
    first = np.searchsorted(fresh, segments.starts)[group]
    own = len(segments.slots) * KEPT + (first + before)[:, None] - lag
    past = number[:, None] - lag
    at: NDArray[np.int64] = np.where(
        lag <= before[:, None], own, group[:, None] * KEPT + past % KEPT
    )
    return at


def places(view_size: int) -> NDArray[np.intp]:
    """Return which elements of a view are compared: one in each equal part, not all in a row."""
    count = min(ELEMENTS, view_size)
    part = np.arange(count + 1) * view_size // max(1, count)
    within = np.arange(count) * _GOLDEN % _UNIT
    return (part[:-1] + np.diff(part) * within // _UNIT).astype(np.intp)


def tied_elements(new: NDArray[np.uint8], old: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many elements (..., e) changed by the second most frequent amount.

    Changes are taken modulo 256, which keeps equal ones equal.

    Examples
    --------
    >>> old = np.array([[0, 0, 0, 9, 90, 200]], np.uint8)
    >>> new = old + np.array([[0, 0, 0, 40, 40, 7]], np.uint8)
    >>> tied_elements(new, old).tolist()
    [2]
    """
    step = (new - old + np.uint8(1 << (_SHIFT - 1))) >> np.uint8(_SHIFT)
    shape, rows = step.shape[:-1], int(np.prod(step.shape[:-1]))
    key = step.reshape(rows, -1) + np.arange(0, rows * _STEPS, _STEPS)[:, None]
    count = np.bincount(key.ravel(), minlength=rows * _STEPS).reshape(rows, _STEPS)
    first, row = count.argmax(axis=1), np.arange(rows)
    for beside in (-1, 0, 1):
        count[row, (first + beside) % _STEPS] = 0
    tied: NDArray[np.int64] = count.max(axis=1).reshape(shape)
    return tied


def fit_ties(
    view: NDArray[np.uint8],
    varied: NDArray[np.uint8] | None,
    rng: Generator,
) -> NDArray[np.int64]:
    """Return thresholds of negated numbers of ties, for benign inputs (n, v).

    Neither two inputs of the reference tie so often, nor an input and its harmless variation.
    """
    at = places(view.shape[1])
    one, other = rng.integers(0, len(view), (2, _PAIRS))
    kinds = [(view[one[one != other]], view[other[one != other]])]
    if varied is not None:
        kinds.append((view, varied))
    tails = [
        high_tail(
            np.concatenate(
                [
                    tied_elements(new[row : row + _CHUNK, at], old[row : row + _CHUNK, at])
                    for row in range(0, len(new), _CHUNK)
                ]
            )
        )
        for new, old in kinds
    ]
    strictest: NDArray[np.int64] = np.minimum.reduce(tails)
    return strictest
