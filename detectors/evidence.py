"""Conformal p-values, e-values and the per-client e-CUSUM, all in fixed point.

A score has rank among calibration scores; the rank gives a p-value that is at least as large as
a uniform variable for benign traffic; ``e = k p**(k-1)`` turns it into a bet that pays when small
p-values pile up. ``m <- max(0, m + ln e)`` crosses ``ln(K/a)`` on average at most once in 1/a
benign events over K channels (e-detectors: Shin, Ramdas, Rinaldo 2022).

Log e-values come from tables and sums are integers, so results do not depend on how a stream is
cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.batch import FIXED_POINT_ONE
from detectors.tables import ClientTable, State
from detectors.usual import settled, usual_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Segments, Usual

#: Exponent of the bet; it is neutral at p = 0.18.
BET = 0.3
MIN_P = 1e-6
#: Tail levels at which calibration scores are tabulated: 16 a decade from 1e-6 to 1.
TAIL_LEVELS: NDArray[np.float64] = 10.0 ** (np.arange(-96, 1) / 16.0)
#: Evidence escalates at these multiples of the threshold and is held below the last.
ESCALATIONS = (1, 4, 16)
CAP = 64

#: Units of standard scores, their bound, and those of bets and their logarithms.
_STANDARD, _MAX_STANDARD = 1024, 1 << 30
_BET_UNIT = 1 << 20
_LOG_STEPS = 256
_HEDGE_STEPS = 64
#: Units of hazards, and steps of their p-values a decade.
_HAZARD, _FINE = 1 << 40, 64
_HEDGES = range(-2 * _HEDGE_STEPS, 10 * _HEDGE_STEPS)
_NEVER = np.iinfo(np.int64).min // 4
#: Keeps the running minima of one client's rows from reaching into the next client's.
_SEGMENT_GAP = 1 << 42


def log_e(p: float) -> int:
    """Return the fixed-point log e-value of a p-value.

    Examples
    --------
    >>> log_e(1.0) < 0 < log_e(0.01)
    True
    """
    value = math.log(BET) + (BET - 1.0) * math.log(min(1.0, max(MIN_P, p)))
    return round(value * FIXED_POINT_ONE)


def tail_thresholds(scores: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return, for each of `TAIL_LEVELS`, the largest score whose p-value is not above it.

    Low scores are strange: p(v) = (1 + #{calibration scores <= v}) / (n + 1). Levels that the
    sample is too small for are never reached.
    """
    ordered = np.sort(scores.astype(np.int64))
    allowed = np.floor(TAIL_LEVELS * (len(ordered) + 1) + 1e-9).astype(np.int64) - 1
    bounded = np.r_[ordered, -_NEVER]
    reached = bounded[np.clip(allowed, 0, len(ordered))] - 1
    thresholds: NDArray[np.int64] = np.where(allowed < 0, _NEVER, reached)
    return thresholds


class TailTable:
    """Rank of a score among the calibration scores of its group.

    Parameters
    ----------
    thresholds
        int64 (groups, levels), each row as from `tail_thresholds`.
    """

    def __init__(self, thresholds: NDArray[np.int64]) -> None:
        bound = 1 << 40
        self._groups, self._levels = thresholds.shape
        offsets = np.arange(self._groups, dtype=np.int64)[:, None] * (4 * bound)
        self._flat = (np.clip(thresholds, -bound, bound) + offsets).ravel()
        self._gap = 4 * bound

    def rank(self, score: NDArray[np.integer], group: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the index in `TAIL_LEVELS` of the score's p-value; their number if above all."""
        key = score.astype(np.int64) + group.astype(np.int64) * self._gap
        at = np.searchsorted(self._flat, key, side="left")
        rank: NDArray[np.intp] = at - group.astype(np.intp) * self._levels
        return rank


def log_e_table(entries: int = 1) -> NDArray[np.int64]:
    """Return log e-values by number of entries and rank.

    The smallest of n distances, each with distribution F, has p = 1 - (1 - F)**n. No entries, no
    evidence.
    """
    table = np.zeros((entries + 1, len(TAIL_LEVELS) + 1), np.int64)
    for count in range(1, entries + 1):
        for rank, level in enumerate([*TAIL_LEVELS.tolist(), 1.0]):
            inside = 1.0 if level >= 1.0 else -math.expm1(count * math.log1p(-level))
            table[count, rank] = log_e(inside)
    return table


class Hazard:
    """Evidence that the nearest of several independent entries is too near.

    An entry lies within a distance with the probability that is the level of its rank; that none
    of n does has the sum of their ``-ln(1 - level)`` as its negative logarithm.
    """

    def __init__(self) -> None:
        levels = [*TAIL_LEVELS.tolist(), 1.0]
        certain = -math.log(MIN_P)
        self._each = np.array(
            [round(min(certain, -math.log1p(-x) if x < 1 else certain) * _HAZARD) for x in levels],
            np.int64,
        )
        steps = 10.0 ** (np.arange(-6 * _FINE, 1) / _FINE)
        hazards = [certain if p >= 1 else -math.log1p(-p) for p in steps.tolist()]
        self._bounds = np.array([round(value * _HAZARD) for value in hazards], np.int64)
        self._log_e = np.array([log_e(p) for p in [*steps.tolist(), 1.0]], np.int64)

    def log_e(self, *entries: tuple[NDArray[np.int64], NDArray[np.intp]]) -> NDArray[np.int64]:
        """Return log e-values, given kinds of entries: how many there are, and the rank each."""
        total = sum(count * self._each[rank] for count, rank in entries)
        found: NDArray[np.int64] = self._log_e[np.searchsorted(self._bounds, total)]
        none = sum(count for count, _ in entries) == 0
        return np.where(none, 0, found)


@cache
def _hedges(share: float) -> NDArray[np.int64]:
    values = (math.log1p(share * math.expm1(step / _HEDGE_STEPS)) for step in _HEDGES)
    return np.array([round(value * FIXED_POINT_ONE) for value in values], np.int64)


def hedged(log_e: NDArray[np.integer], share: float) -> NDArray[np.int64]:
    """Return the log e-values of bets that stake only a share on each query.

    Against clients that mix hostile queries into benign ones, where full stakes would be lost
    again on the benign ones.
    """
    index = log_e.astype(np.int64) // (FIXED_POINT_ONE // _HEDGE_STEPS) - _HEDGES.start
    found: NDArray[np.int64] = _hedges(share)[np.clip(index, 0, len(_HEDGES) - 1)]
    return found


class PooledTail:
    """Rank of a score among those of all groups, each brought to the same centre and spread.

    Where groups are small, their own ranks could never be extreme; together they can.

    Parameters
    ----------
    scale
        int64 (2, groups): centre and spread of each group's scores.
    thresholds
        int64 (levels,), of standard scores, from `tail_thresholds`.
    """

    def __init__(self, scale: NDArray[np.int64], thresholds: NDArray[np.int64]) -> None:
        self._centre, self._spread = scale
        self._table = TailTable(thresholds[None])

    def rank(self, score: NDArray[np.integer], group: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the index in `TAIL_LEVELS` of the score's p-value; high scores are strange."""
        standard = standardise(score, self._centre[group], self._spread[group])
        return self._table.rank(-standard, np.zeros(len(score), np.intp))


def standardise(
    score: NDArray[np.integer], centre: NDArray[np.int64], spread: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bring scores to a common centre and spread, in integers."""
    standard: NDArray[np.int64] = (score.astype(np.int64) - centre) * _STANDARD // spread
    bounded: NDArray[np.int64] = np.clip(standard, -_MAX_STANDARD, _MAX_STANDARD)
    return bounded


class MeanBet:
    """Mean of several bets on one event: valid however they depend on each other."""

    def __init__(self) -> None:
        bets = [math.exp(log_e(level) / FIXED_POINT_ONE) for level in [*TAIL_LEVELS.tolist(), 1.0]]
        self._bets = np.array([round(bet * _BET_UNIT) for bet in bets], np.int64)
        steps = np.arange(math.log(BET) * _LOG_STEPS, 9.0 * _LOG_STEPS)
        self._bounds = np.exp(steps / _LOG_STEPS) * _BET_UNIT
        self._logs = np.rint(np.r_[steps[0], steps] / _LOG_STEPS * FIXED_POINT_ONE).astype(np.int64)

    def log_e(self, *ranks: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the fixed-point logarithm of the mean, rounded down to 1/256."""
        total = sum(self._bets[rank] for rank in ranks)
        return self._log_of(np.asarray(total) // len(ranks))

    def _log_of(self, mean: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._logs[np.searchsorted(self._bounds, mean, side="right")]
        return found


@dataclass(frozen=True, slots=True)
class Rise:
    """Evidence of a client crossed a threshold.

    ``position`` is the sorted position of the row in its `Segments`, ``length`` how many rows
    the evidence has been above zero, ``usual`` what the strongest sum was before these.
    """

    position: int
    group: int
    level: int
    sums: tuple[int, ...]
    since_us: int
    length: int
    usual: Usual


class EvidenceSums:
    """e-CUSUM of several channels a client, vectorised over a batch.

    Parameters
    ----------
    channels
        Channels that alarm on their own; they share the false alarms.
    """

    def __init__(self, max_clients: int, channels: int, run_length_events: int) -> None:
        self.threshold = math.ceil(math.log(channels * run_length_events) * FIXED_POINT_ONE)
        self._channels = channels
        self.table = ClientTable(
            max_clients,
            {
                "sum": ((channels,), np.int64),
                "level": ((), np.int8),
                "since_us": ((), np.int64),
                "length": ((), np.int64),
                "own": ((3,), np.int64),
            },
        )

    def update(
        self, segments: Segments, increments: NDArray[np.int64], time_us: NDArray[np.int64]
    ) -> list[Rise]:
        """Add the evidence of rows and return the crossings.

        Parameters
        ----------
        increments
            int64 (n, channels), sorted like ``segments``.
        time_us
            int64 (n,), sorted like ``segments``.
        """
        if not len(increments):
            return []
        sums = self._running(segments, increments)
        strongest = sums.max(axis=1)
        peak = np.maximum.reduceat(strongest, segments.starts)
        hot = (peak >= self.threshold) | (self.table["level"][segments.slots] > 0)
        self._settle(segments, (sums, strongest), time_us, ~hot)
        rises: list[Rise] = []
        for group in np.flatnonzero(hot).tolist():
            rises += self._walk(segments, group, increments, time_us)
        return rises

    def usual(self, slots: NDArray[np.intp]) -> Usual:
        """Return what the strongest sum of these clients was before it rose."""
        total, rows, _ = self.table["own"][slots].sum(axis=0).tolist()
        return usual_of(total, rows, self.threshold)

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self.table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self.table.snapshot(slots_used)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self.table.restore(arrays)

    def _running(self, segments: Segments, increments: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sums after each row: one cumsum and one running minimum for all clients."""
        total = np.cumsum(increments, axis=0)
        before = total[segments.starts] - increments[segments.starts]
        start = self.table["sum"][segments.slots] - before
        free = total + np.repeat(start, segments.counts, axis=0)
        gap = np.repeat(np.arange(len(segments.slots)) * _SEGMENT_GAP, segments.counts)[:, None]
        lowest = np.minimum.accumulate(free - gap, axis=0) + gap
        running: NDArray[np.int64] = free - np.minimum(0, lowest)
        return running

    def _settle(
        self,
        segments: Segments,
        found: tuple[NDArray[np.int64], NDArray[np.int64]],
        time_us: NDArray[np.int64],
        calm: NDArray[np.bool_],
    ) -> None:
        """Store the last sums of the clients that stayed below the threshold."""
        sums, strongest = found
        ends = segments.starts + segments.counts - 1
        positions = np.arange(len(sums))
        zero = np.maximum.reduceat(np.where(strongest == 0, positions, -1), segments.starts)
        slots = segments.slots
        length = self.table["length"][slots]
        own = settled(self.table["own"][slots], segments, strongest, zero, length)
        began = np.where(zero >= 0, zero + 1, segments.starts)
        since = time_us[np.minimum(began, ends)]
        continued = (zero < 0) & (length > 0)
        rows = slots[calm]
        self.table["own"][rows] = own[calm]
        self.table["sum"][rows] = sums[ends[calm]]
        self.table["since_us"][rows] = np.where(continued, self.table["since_us"][slots], since)[
            calm
        ]
        self.table["length"][rows] = np.where(zero >= 0, ends - zero, length + segments.counts)[
            calm
        ]

    def _walk(
        self,
        segments: Segments,
        group: int,
        increments: NDArray[np.int64],
        time_us: NDArray[np.int64],
    ) -> list[Rise]:
        """Go row by row through a client that crosses or is under alarm."""
        slot = int(segments.slots[group])
        first = int(segments.starts[group])
        sums = self.table["sum"][slot].tolist()
        level = int(self.table["level"][slot])
        since_us, length = int(self.table["since_us"][slot]), int(self.table["length"][slot])
        total, seen, opened = self.table["own"][slot].tolist()
        cap = CAP * self.threshold
        rises = []
        for position in range(first, first + int(segments.counts[group])):
            row = increments[position].tolist()
            sums = [min(cap, max(0, m + x)) for m, x in zip(sums, row, strict=True)]
            peak = max(sums)
            if peak == 0:
                calm = level == 0
                total, seen = total + calm * opened, seen + calm * length + 1
                level, length, opened = 0, 0, 0
                continue
            if length == 0:
                since_us = int(time_us[position])
            length, opened = length + 1, opened + peak
            reached = sum(peak >= factor * self.threshold for factor in ESCALATIONS)
            if reached > level:
                level = reached
                usual = usual_of(total, seen, self.threshold)
                rises.append(Rise(position, group, level, tuple(sums), since_us, length, usual))
        self.table["sum"][slot], self.table["level"][slot] = sums, level
        self.table["since_us"][slot], self.table["length"][slot] = since_us, length
        self.table["own"][slot] = total, seen, opened
        return rises
