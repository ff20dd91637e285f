"""Counts over sliding windows of 4 to 512 s, for many counters at once.

A window is four buckets: the running one and the three before it. Its count is taken whole, and
without the busiest of the four. Benign peaks are mostly clumps, one moment with many requests,
and lose most of their count with that moment; a burst goes on and keeps three quarters. So the
level of a count without its busiest part lies lower, and a burst reaches it sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.tables import ClientTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Windows in seconds are four times these, which are powers of two.
SHIFTS: NDArray[np.int32] = np.array([0, 1, 2, 3, 5, 7], np.int32)
PARTS = 4
#: The shortest window whole, then each without its busiest part.
CHANNELS = 1 + len(SHIFTS)
WINDOW_S = (PARTS, *(PARTS << int(shift) for shift in SHIFTS))
#: Buckets are held below this, so that windows fit into 32 bits.
MAX_COUNT = 1 << 28

_PLACES = np.arange(PARTS, dtype=np.int32)
_SCALES = np.arange(len(SHIFTS))


class Ticks(NamedTuple):
    """What happened to counters within single seconds.

    Attributes
    ----------
    row
        intp (n,), ascending: the counter.
    second
        int32 (n,): ascending within a counter, and never before what the counter has seen.
    value
        int64 (n,): what is added, more than zero.
    """

    row: NDArray[np.intp]
    second: NDArray[np.int32]
    value: NDArray[np.int64]

    @property
    def rank(self) -> NDArray[np.intp]:
        """Place of each tick among those of its counter."""
        places = np.arange(len(self.row))
        first = np.r_[True, self.row[1:] != self.row[:-1]]
        rank: NDArray[np.intp] = places - np.maximum.accumulate(np.where(first, places, 0))
        return rank

    def take(self, which: NDArray[np.intp]) -> Ticks:
        """Return some of them."""
        return Ticks(self.row[which], self.second[which], self.value[which])


class Counters:
    """Rows of buckets.

    Parameters
    ----------
    rows
        How many counters.

    Examples
    --------
    >>> counters = Counters(1)
    >>> tick = lambda at, n: Ticks(np.array([0]), np.array([at], np.int32), np.array([n]))
    >>> counters.add(tick(100, 7))[0, :2].tolist(), counters.add(tick(101, 5))[0, :2].tolist()
    ([7, 0], [12, 5])
    """

    def __init__(self, rows: int) -> None:
        self.table = ClientTable(
            rows, {"second": ((), np.int32), "buckets": ((len(SHIFTS), PARTS), np.int32)}
        )

    def add(self, ticks: Ticks) -> NDArray[np.int32]:
        """Count at most one tick a counter; return its windows (n, `CHANNELS`)."""
        buckets, place = self._turned(ticks)
        at = np.arange(len(ticks.row))[:, None]
        buckets[at, _SCALES, place] += np.minimum(ticks.value, MAX_COUNT)[:, None].astype(np.int32)
        np.minimum(buckets, MAX_COUNT, out=buckets)
        self.table["buckets"][ticks.row] = buckets
        self.table["second"][ticks.row] = ticks.second
        return windows_of(buckets)

    def within(self, row: int, second: int, value: int, sums: NDArray[np.int64]) -> NDArray[Any]:
        """Return the windows (m, `CHANNELS`) as they were in the midst of the last tick.

        Parameters
        ----------
        sums
            int64 (m,): how much of the tick's ``value`` had come by then.
        """
        buckets = np.repeat(self.table["buckets"][row][None].astype(np.int64), len(sums), axis=0)
        place = (second >> SHIFTS) & (PARTS - 1)
        missing = (min(value, MAX_COUNT) - np.minimum(sums, MAX_COUNT))[:, None]
        buckets[:, _SCALES, place] = np.maximum(buckets[:, _SCALES, place] - missing, 0)
        return windows_of(buckets)

    def _turned(self, ticks: Ticks) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the buckets with those emptied whose time is over, and the running places."""
        now = ticks.second[:, None] >> SHIFTS
        before = self.table["second"][ticks.row][:, None] >> SHIFTS
        buckets = self.table["buckets"][ticks.row]
        # Each place holds the latest bucket whose number ends in it.
        age = (now[:, :, None] - _PLACES) & np.int32(PARTS - 1)
        buckets[age < (now - before)[:, :, None]] = 0
        return buckets, now & np.int32(PARTS - 1)


def windows_of(buckets: NDArray[Any]) -> NDArray[Any]:
    """Return counts (n, `CHANNELS`) of buckets (n, scales, `PARTS`)."""
    whole = buckets.sum(axis=2, dtype=buckets.dtype)
    return np.concatenate([whole[:, :1], whole - buckets.max(axis=2)], axis=1)
