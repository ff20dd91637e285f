"""How much of the traffic is usual for each pool of clients, and how much more now comes of it.

A pool's traffic is held against its own earlier traffic, of which the last five minutes are left
out, and against how all other traffic has grown since: what the whole population does is no news
of any pool. The logarithm of the two counts' ratio is kept by its maxima in blocks of ten minutes,
and its level is fitted as those of single clients are, see `detectors.traffic.levels`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.traffic.levels import BLOCK_US, PRIOR_BLOCKS, Cohort, level_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectors.tables import State

TICK_US = 5_000_000
#: Windows in ticks: ten seconds, a minute, five minutes.
WINDOWS = (2, 12, 60)
#: Ticks after which a count enters the reference.
LAG = WINDOWS[-1]
BLOCK_TICKS = BLOCK_US // TICK_US
#: The reference forgets with this time constant: an hour.
_MEMORY_TICKS = 720
#: Counts that are added to what came and to what was expected, so that few prove little.
_FEW = 10.0
#: The same for the growth of all others.
_MANY = 50.0
#: Sums are halved when this many blocks have been seen: two days.
_MAX_BLOCKS = 288
#: Blocks before a pool is judged at all: two hours, twice the memory of the reference.
_LEARNING_BLOCKS = PRIOR_BLOCKS
#: A pool under alarm learns again after two hours: what lasts is the new state of things.
_ALARM_TICKS = 1440
#: Log ratios of pools before any are known: twice as wide as those of a development stream.
_UNKNOWN = Cohort(
    np.array([[0.2, 0.2, 0.2]]), np.array([[[0.08, 0.15, 0.3]], [[0.15, 0.15, 0.15]]]) ** 2
)


class Shares:
    """Counts, references and levels of pools; the last pool is everything.

    Parameters
    ----------
    kinds
        How many pools there are of each kind; pools of a kind are neighbours, and know of each
        other what is usual.
    false_alarm
        Wanted probability that a pool's block exceeds its level.
    least
        Log ratio that no level lies below.
    """

    def __init__(self, kinds: Sequence[int], false_alarm: float, least: float) -> None:
        ends = np.cumsum(kinds).tolist()
        self._kinds = [slice(end - size, end) for end, size in zip(ends, kinds, strict=True)]
        self._false_alarm = np.full((1, 1, 1), false_alarm)
        self._least = least
        pools, windows = ends[-1], len(WINDOWS)
        self._state: State = {
            "past": np.zeros((LAG, pools), np.int32),
            "sums": np.zeros((windows, pools), np.int64),
            "usual": np.zeros(pools),
            "weight": np.zeros(1),
            "highest": np.full((pools, windows), -np.inf),
            "total": np.zeros((pools, windows)),
            "squares": np.zeros((pools, windows)),
            "blocks": np.zeros(pools),
            "level": np.full((pools, windows), np.inf),
            "alarm": np.zeros(pools, np.int64),
            "first": np.array([-1], np.int64),
        }

    def close(self, tick: int, counts: NDArray[np.int32]) -> NDArray[np.intp]:
        """Take in the counts of a tick; return the pools that are above their levels.

        They come with the strongest evidence first.
        """
        state = self._state
        if state["first"][0] < 0:
            state["first"][0] = tick
        if tick % BLOCK_TICKS == 0:
            self._close_block(tick)
        self._slide(tick, counts)
        came = state["sums"].T
        expected = self._expected()
        ratio = np.log((came + _FEW) / (expected + _FEW))
        np.maximum(state["highest"], ratio, out=state["highest"], where=came > 0)
        calm = (ratio < 0.5 * self._least).all(axis=1)
        state["alarm"][calm] = 0
        above = np.flatnonzero((ratio > state["level"]).any(axis=1))
        return above[np.argsort(-_evidence(came[above], expected[above]), kind="stable")]

    def skip(self, tick: int) -> None:
        """Nothing at all came up to a tick, for longer than the lag."""
        self._state["past"][:] = 0
        self._state["sums"][:] = 0
        if self._state["first"][0] >= 0:
            self._close_block(tick)

    def alarm(self, pool: int, tick: int) -> None:
        """Hold what a pool knows while it is above, for two hours at most."""
        if self._state["alarm"][pool] == 0:
            self._state["alarm"][pool] = tick

    def figures(self, pool: int) -> dict[str, int | float]:
        """Return what a finding about a pool says of it."""
        came, expected = self._state["sums"][:, pool], self._expected()[pool]
        window = int(np.argmax(np.log((came + _FEW) / (expected + _FEW)) - self._level_of(pool)))
        return {
            "window_s": WINDOWS[window] * TICK_US // 1_000_000,
            "active": int(came[window]),
            "expected": round(float(expected[window]), 1),
        }

    def blocks(self, pool: int) -> int:
        """Return how many blocks of ten minutes a pool has been learned from."""
        return int(self._state["blocks"][pool])

    def snapshot(self) -> State:
        """Return all state as arrays."""
        return {name: column.copy() for name, column in self._state.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        for name, column in self._state.items():
            column[...] = arrays[name]

    def _level_of(self, pool: int) -> NDArray[np.float64]:
        level = self._state["level"][pool]
        finite: NDArray[np.float64] = np.where(np.isfinite(level), level, self._least)
        return finite

    def _slide(self, tick: int, counts: NDArray[np.int32]) -> None:
        """Move the windows on by a tick; what leaves the longest enters the reference."""
        state = self._state
        past, place = state["past"], tick % LAG
        leaves = past[place]
        gain = 1.0 / _MEMORY_TICKS
        usual = self._may_learn(tick)
        if tick - state["first"][0] >= LAG:
            state["usual"] += np.where(usual, gain * (leaves - state["usual"]), 0.0)
            state["weight"] += gain * (1.0 - state["weight"])
        for index, width in enumerate(WINDOWS):
            state["sums"][index] += counts - past[(tick - width) % LAG]
        past[place] = counts

    def _expected(self) -> NDArray[np.float64]:
        """Return what each pool's windows (pools, windows) would hold as usual."""
        weight = max(float(self._state["weight"][0]), 1e-9)
        usual = self._state["usual"][:, None] / weight * np.array(WINDOWS)
        came = self._state["sums"].T
        others, others_usual = came[-1] - came, np.maximum(usual[-1] - usual, 0.0)
        growth = (others + _MANY) / (others_usual + _MANY)
        expected: NDArray[np.float64] = usual * np.maximum(growth, 1.0)
        return expected

    def _close_block(self, tick: int) -> None:
        """Learn the highest ratios of a block, only up to the level, and set new levels."""
        state = self._state
        since = tick - int(state["first"][0])
        if since >= 2 * LAG + BLOCK_TICKS:
            self._learn(tick)
        state["highest"][:] = -np.inf
        if since < _LEARNING_BLOCKS * BLOCK_TICKS:
            return
        for kind in self._kinds:
            blocks = state["blocks"][kind][:, None, None]
            total, squares = state["total"][kind][:, None], state["squares"][kind][:, None]
            cohort = self._cohort(kind) or self._cohort(slice(None)) or _UNKNOWN
            logs = level_logs(cohort, blocks, total, squares, self._false_alarm)
            state["level"][kind] = np.maximum(logs[:, 0], self._least)

    def _may_learn(self, tick: int) -> NDArray[np.bool_]:
        alarm = self._state["alarm"]
        free: NDArray[np.bool_] = (alarm == 0) | (tick - alarm > _ALARM_TICKS)
        return free

    def _learn(self, tick: int) -> None:
        state = self._state
        seen = np.isfinite(state["highest"]).all(axis=1) & self._may_learn(tick)
        fade = np.where(state["blocks"] >= _MAX_BLOCKS, 0.5, 1.0)
        learned = np.where(seen[:, None], np.minimum(state["highest"], state["level"]), 0.0)
        for name, values in (("total", learned), ("squares", learned**2)):
            state[name] *= fade[:, None]
            state[name] += values
        state["blocks"] *= fade
        state["blocks"] += seen

    def _cohort(self, kind: slice) -> Cohort | None:
        """Return what pools of a kind have in common, None unless there are some."""
        blocks = self._state["blocks"][kind]
        known = blocks >= PRIOR_BLOCKS
        if known.sum() < PRIOR_BLOCKS:
            return None
        count = blocks[known][:, None]
        means = self._state["total"][kind][known] / count
        within = np.maximum(self._state["squares"][kind][known] / count - means**2, 0.0)
        between = means.var(axis=0, ddof=1)
        return Cohort(
            means.mean(axis=0)[None], np.stack([within.mean(axis=0)[None], between[None]])
        )


def _evidence(came: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest log likelihood ratio over windows: Poisson, as came against expected."""
    ratio = (came + _FEW) / (expected + _FEW)
    evidence: NDArray[np.float64] = ((came + _FEW) * np.log(ratio) - (came - expected)).max(
        axis=1, initial=-math.inf
    )
    return evidence
