"""Counts of the last seconds and minutes, for many counters at once.

What comes within a quarter of a second is one count. Of the last twelve of them, three seconds,
the sum is taken without the two highest: benign peaks are mostly clumps, one moment with many
requests, and lose most of their count with that moment; a burst goes on and keeps most. So the
level of this sum lies lower, and a burst reaches it within seconds. The sum of the counts' square
roots, which fades within four seconds, makes little of clumps too; plain sums fade within 16 s to
17 minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.tables import ClientTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

TICK_US = 250_000
PARTS = 12
#: Time constants in seconds with which the sums fade; the first is that of square roots.
FADES_S = (4, 16, 64, 1024)
CHANNELS = 1 + len(FADES_S)
#: How many seconds each channel looks back, and what it sums.
WINDOW_S = (PARTS * TICK_US // 1_000_000, *FADES_S)
SUMS = ("without the two highest", "square roots", *["plain"] * (len(FADES_S) - 1))
#: Counts within a tick are held at this, so that 32-bit floats tell neighbours of their sums apart.
MAX_COUNT = 1 << 20

#: A silence of so many ticks, eight of the longest time constants, empties every counter.
_FORGOTTEN = 32_768
_RING, _SUMS = slice(1, 1 + PARTS), slice(1 + PARTS, 1 + PARTS + len(FADES_S))


def _fading() -> NDArray[np.float32]:
    """Return what is left of each sum after so many ticks (sums, `_FORGOTTEN` + 1)."""
    ticks = np.arange(_FORGOTTEN + 1) * (TICK_US / 1_000_000)
    left: NDArray[np.float32] = np.exp(-ticks / np.array(FADES_S)[:, None]).astype(np.float32)
    left[:, -1] = 0.0
    return left


_LEFT = _fading()
_AGES = np.arange(PARTS)[:, None]


class Ticks(NamedTuple):
    """What happened to counters within single ticks.

    Attributes
    ----------
    row
        intp (n,), ascending: the counter.
    tick
        int64 (n,): ascending within a counter, and never before what the counter has seen.
    value
        (n, ...): what is added.
    """

    row: NDArray[np.intp]
    tick: NDArray[np.int64]
    value: NDArray[np.int64]

    def rounds(self) -> list[NDArray[np.intp]]:
        """Return positions in rounds, of which each has at most one tick of a counter."""
        places = np.arange(len(self.row))
        again = self.row[1:] == self.row[:-1]
        if not again.any():
            return [places]
        first = np.maximum.accumulate(np.where(np.append(False, again), 0, places))
        rank = places - first
        order = np.argsort(rank, kind="stable")
        return np.split(order, np.cumsum(np.bincount(rank))[:-1])

    def take(self, which: NDArray[np.intp]) -> Ticks:
        """Return some of them, in order."""
        if len(which) == len(self.row):
            return self
        return Ticks(self.row[which], self.tick[which], self.value[which])


class Counters:
    """Rows of the counts of the last ticks, the newest first, and of fading sums of older ones.

    The running tick is in no sum yet, so that what is held does not depend on how a tick's value
    is cut up.

    Parameters
    ----------
    rows
        How many counters.

    Examples
    --------
    >>> counters = Counters(1)
    >>> tick = lambda at, n: Ticks(np.array([0]), np.array([at]), np.array([n]))
    >>> counters.add(tick(100, 7))[0, 0], counters.add(tick(101, 5))[0, 0]
    (np.float32(0.0), np.float32(0.0))
    """

    def __init__(self, rows: int) -> None:
        # The first number of a row is nought: what is older than the oldest count.
        held = 1 + PARTS + len(FADES_S)
        self.table = ClientTable(rows, {"tick": ((), np.int64), "held": ((held,), np.float32)})

    def add(self, ticks: Ticks) -> NDArray[np.float32]:
        """Count at most one tick a counter; return its windows (n, `CHANNELS`)."""
        row = ticks.row
        held = self.table["held"].take(row, axis=0)
        passed = ticks.tick - self.table["tick"].take(row)
        ring, sums = self._aged(held, passed)
        ring[0] += np.minimum(ticks.value, MAX_COUNT)
        np.minimum(ring[0], MAX_COUNT, out=ring[0])
        held[:, _RING], held[:, _SUMS] = ring.T, sums.T
        self.table["held"][row] = held
        self.table["tick"][row] = ticks.tick
        return _windows(ring[0], ring.sum(axis=0) - _two_highest(ring), sums)

    def within(self, row: int, value: int, sums: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the windows (m, `CHANNELS`) as they were in the midst of the last tick.

        Parameters
        ----------
        sums
            int64 (m,): how much of the tick's ``value`` had come by then.
        """
        held = self.table["held"][row]
        ring, faded = held[_RING], held[_SUMS]
        before = np.maximum(ring[0] - np.float32(min(value, MAX_COUNT)), np.float32(0))
        now = np.minimum(before + np.minimum(sums, MAX_COUNT).astype(np.float32), MAX_COUNT)
        older = np.sort(ring[1:])
        # Of three, the lowest is not among the two highest.
        lasting = older[:-2].sum() + np.minimum(now, older[-2])
        return _windows(now, lasting, np.repeat(faded[:, None], len(sums), axis=1))

    def _aged(
        self, held: NDArray[np.float32], passed: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the counts (`PARTS`, n) and sums (sums, n) after some ticks have passed."""
        starts = np.arange(len(held)) * held.shape[1]
        ages = np.maximum(_AGES - np.minimum(passed, PARTS), -1) + (1 + starts)
        ring = held.ravel().take(ages)
        over = np.where(passed > 0, held[:, 1], np.float32(0))
        sums = held[:, _SUMS].T + over
        sums[0] = held[:, _SUMS.start] + np.sqrt(over)
        sums *= _LEFT.take(np.minimum(passed, _FORGOTTEN), axis=1)
        return ring, sums


def _two_highest(ring: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of the two highest of each column (`PARTS`, n)."""
    high, low = np.maximum(ring[:6], ring[6:]), np.minimum(ring[:6], ring[6:])
    high, low = _merged(high[:3], low[:3], high[3:], low[3:])
    pair = _merged(high[0], low[0], high[1], low[1])
    return np.add(*_merged(*pair, high[2], low[2]))


def _merged(
    high: NDArray[np.float32],
    low: NDArray[np.float32],
    other_high: NDArray[np.float32],
    other_low: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the two highest of two pairs."""
    second = np.maximum(np.minimum(high, other_high), np.maximum(low, other_low))
    return np.maximum(high, other_high), second


def _windows(
    now: NDArray[np.float32], lasting: NDArray[np.float32], sums: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return windows (n, `CHANNELS`) of running and lasting counts (n,) and sums (sums, n)."""
    windows = np.empty((len(now), CHANNELS), np.float32)
    windows[:, 0] = lasting
    windows[:, 1] = sums[0] + np.sqrt(now)
    windows[:, 2:] = (sums[1:] + now).T
    return windows
