"""What each client's blocks of ten minutes were, and the levels that follow from them.

Of every metric and channel of `detectors.traffic.counters` the highest value within a block is
kept. When the client goes on in a later block, the one that is over is learned, only up to its
own base level, and base levels grow slowly, so that a burst does not teach the detector to expect
it. For a while after a burst was told of, the level lies above that burst.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from detectors.tables import ClientTable
from detectors.traffic.counters import CHANNELS, FADES_S, TICK_US
from detectors.traffic.levels import BLOCK_US, METRICS, PRIOR_BLOCKS, Cohort, level_logs

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_TICKS = BLOCK_US // TICK_US
#: Old blocks fade: sums are halved when this many have been seen (two days).
MAX_BLOCKS = 288
#: Requests in a block of a client that is not known yet.
_TYPICAL_REQUESTS = 100
_SHAPE = (len(METRICS), CHANNELS)
#: Channels that follow the slow moods of a client; what knows of those is a fitted tail.
_LONG: NDArray[np.bool_] = np.array([0, *FADES_S]) > 32
#: Times its own highest values of two days that a known client stays below in the others: set on
#: half of the development clients. Tokens vary in size, besides.
_ABOVE_PEAK = np.array([1.5, 1.4, 1.8, 1.0, 1.0]) * np.ones((len(METRICS), 1))
_ABOVE_PEAK[1:, 0] = 2.0
#: Chance adds so much to a peak of requests: standard deviations of a Poisson count, which for
#: roots are all the same.
_CHANCE = 1.5
_CHANCE_OF_ROOTS = 0.5
_ROOTS = 1
#: What was told of is news again if it rises by this.
_ABOVE_TOLD = 2.0
#: No value reaches further.
_MAX_LEVEL = 1e9
_BLOCKS_A_DAY = 86_400_000_000 // BLOCK_US
#: Logarithms sink by this a block: peaks by a tenth in a day, and so does what was told of moods.
#: A burst that was told of is news at the same height after 17 hours.
_PEAK_FADE = 0.1 / _BLOCKS_A_DAY
_TOLD_FADE = np.where(_LONG, 0.1, 1.0) / _BLOCKS_A_DAY


class BurstConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a level may grow, and how many independent windows share the false alarms.

    Levels of windows up to 32 s may grow faster: who raises them step by step sends more, too.
    Peaks of a client with ``known_blocks`` blocks tell more than a fitted tail; levels of requests
    and errors are at least ``min_requests``.
    """

    growth_per_day: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    brief_growth_per_day: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    effective_tests: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 10
    known_blocks: Annotated[int, msgspec.Meta(ge=12)] = 72


class Past:
    """Blocks and levels of clients.

    Parameters
    ----------
    run_length_events
        Wanted requests between false alarms of a client.
    """

    def __init__(
        self, max_clients: int, cohort: Cohort, config: BurstConfig, run_length_events: int
    ) -> None:
        self._cohort, self._config, self._run_length = cohort, config, run_length_events
        growth = np.where(_LONG, config.growth_per_day, config.brief_growth_per_day)
        self._growth = np.log1p(growth) / _BLOCKS_A_DAY
        least = [config.min_requests if m in {"requests", "errors"} else 0 for m in METRICS]
        self._least = np.array(least)[:, None]
        self.table = ClientTable(
            max_clients,
            {
                "block": ((), np.int64),
                "level": (_SHAPE, np.float32),
                "base": (_SHAPE, np.float32),
                "highest": (_SHAPE, np.float32),
                "total": (_SHAPE, np.float32),
                "squares": (_SHAPE, np.float32),
                "peak": (_SHAPE, np.float32),
                "told": (_SHAPE, np.float32),
                "blocks": ((), np.int32),
                "requests": ((), np.int32),
            },
        )
        self._level = self.table["level"].reshape(-1, CHANNELS)
        self._highest = self.table["highest"].reshape(-1, CHANNELS)
        nothing = np.zeros((1, *_SHAPE))
        self._first_level = self._levels(nothing, nothing, 0, _TYPICAL_REQUESTS)[0]

    def level(self, counter: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the levels (n, `CHANNELS`) of counters."""
        return self._level.take(counter, axis=0)

    def add(self, counter: NDArray[np.intp], windows: NDArray[np.float32]) -> NDArray[np.intp]:
        """Keep the highest windows (n, `CHANNELS`); return which are above their level."""
        highest = self._highest.take(counter, axis=0)
        np.maximum(highest, windows, out=highest)
        self._highest[counter] = highest
        above = windows > self.level(counter)
        return np.unique(np.flatnonzero(above) // CHANNELS) if above.any() else _NONE

    def go_on(
        self, slots: NDArray[np.intp], tick: NDArray[np.int64], requests: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Move clients on to ticks; return those whose last block is over and was calm."""
        table = self.table
        block, before = tick // BLOCK_TICKS, table["block"].take(slots)
        changed = np.flatnonzero(block != before)
        calm = _NONE
        if len(changed):
            calm = self._close(slots[changed], (block - before)[changed], before[changed] == 0)
            table["block"][slots] = block
        table["requests"][slots] += requests.astype(np.int32)
        return calm

    def usual(self, slot: int, metric: int, channel: int) -> tuple[float, int]:
        """Return the mean of the highest values of blocks, and over how many."""
        blocks = int(self.table["blocks"][slot])
        total = float(self.table["total"][slot, metric, channel])
        return math.expm1(total / max(1, blocks)), blocks

    def _close(
        self, slots: NDArray[np.intp], elapsed: NDArray[np.int64], fresh: NDArray[np.bool_]
    ) -> NDArray[np.intp]:
        """Begin a block; return clients whose last one was calm."""
        table = self.table
        for name in ("level", "base"):
            table[name][slots[fresh]] = self._first_level
        slots, elapsed = slots[~fresh], elapsed[~fresh]
        loud = table["highest"][slots] > table["level"][slots]
        calm: NDArray[np.bool_] = np.logical_not(loud.any(axis=(1, 2)))
        self._learn(slots, elapsed, calm)
        table["highest"][slots] = 0
        table["requests"][slots] = 0
        return slots[calm]

    def _learn(
        self, slots: NDArray[np.intp], elapsed: NDArray[np.int64], calm: NDArray[np.bool_]
    ) -> None:
        """Learn the highest values of blocks that are over, and set new levels."""
        table = self.table
        held = table.take(slots)
        logs = np.log1p(np.minimum(held["highest"], held["base"]).astype(np.float64))
        told = np.where(calm[:, None, None], 0.0, np.log1p(held["highest"]))
        fade = np.where(held["blocks"] >= MAX_BLOCKS, 0.5, 1.0)
        new = {
            "total": held["total"] * fade[:, None, None] + logs,
            "squares": held["squares"] * fade[:, None, None] + logs**2,
            "blocks": (held["blocks"] * fade).astype(np.int32) + 1,
            "peak": np.maximum(held["peak"] - _PEAK_FADE, logs),
            "told": np.maximum(held["told"] - _TOLD_FADE, told),
        }
        wanted = self._levels(new["total"], new["squares"], new["blocks"], held["requests"])
        # A tail fitted to a few blocks reaches far; what many blocks stayed below says more.
        known = ~_LONG & (new["blocks"][:, None, None] >= self._config.known_blocks)
        wanted = np.where(known, self._above(new["peak"]), wanted)
        grown = np.log1p(held["base"]) + self._growth * elapsed[:, None, None]
        new["base"] = np.minimum(wanted, np.expm1(grown))
        new["level"] = np.maximum(new["base"], _ABOVE_TOLD * np.expm1(new["told"]))
        for name, column in new.items():
            table[name][slots] = np.minimum(column, _MAX_LEVEL)

    def _above(self, peak: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a client with these log peaks stays below."""
        value = np.expm1(peak)
        chance = np.zeros_like(value)
        chance[:, 0] = _CHANCE * np.sqrt(value[:, 0])
        chance[:, 0, _ROOTS] = _CHANCE_OF_ROOTS
        above: NDArray[np.float64] = np.maximum(_ABOVE_PEAK * value + chance, self._least)
        return above

    def _levels(
        self,
        total: NDArray[np.float64],
        squares: NDArray[np.float64],
        blocks: NDArray[np.int32] | int,
        requests: NDArray[np.int32] | int,
    ) -> NDArray[np.float64]:
        """Return the largest values that are no burst, by a fitted tail."""
        count = np.asarray(blocks, np.float64).reshape(-1, 1, 1)
        # A client that sends n requests a block may exceed in one of run_length / n blocks, but
        # the busiest not more often than once in two weeks. How a new client differs from others
        # is drawn once, not in each block: more may be risked on it.
        seen = np.maximum(np.asarray(requests, np.float64).reshape(-1, 1, 1), 1.0)
        most = np.where(count < PRIOR_BLOCKS, 2e-3, 5e-4)
        false_alarm = np.clip(seen / self._run_length, 1e-5, most) / self._config.effective_tests
        logs = level_logs(self._cohort, count, total, squares, false_alarm)
        levels: NDArray[np.float64] = np.maximum(np.expm1(np.minimum(logs, 40.0)), self._least)
        return np.minimum(levels, _MAX_LEVEL)


_NONE = np.zeros(0, np.intp)
