"""Bursts: a client far above its own busiest moments, on any time scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments, Usual
from detectors.batch import FIXED_POINT_ONE
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pick
from detectors.traffic.counters import CHANNELS, WINDOW_S, Counters, Ticks
from detectors.traffic.levels import (
    BLOCK_US,
    METRICS,
    PRIOR_BLOCKS,
    SECOND_US,
    Cohort,
    default_cohort,
    level_logs,
    metric_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: A burst escalates when it is this many times above its level.
ESCALATIONS = (1, 4, 16)
#: Old blocks fade: sums are halved when this many have been seen (two days).
MAX_BLOCKS = 288
#: Requests in a block of a client that is not known yet.
TYPICAL_REQUESTS = 100
_SHAPE = (len(METRICS), CHANNELS)
_BLOCK_S = BLOCK_US // SECOND_US
#: Times its own highest count of two days that a known client stays below, by channel up to 32 s:
#: what one block in a thousand exceeds, on half of the development clients. Longer windows follow
#: the slow moods of a client; what knows of those is a fitted tail.
_ABOVE_PEAK = np.array([2.2, 1.4, 1.6, 2.2, 3.0, 1.0, 1.0])
#: Chance adds so many standard deviations of a Poisson count to a peak, of requests alone.
_CHANCE = 1.5
#: A mood that was told of is no news for a day, unless it rises by this.
_LONG: NDArray[np.bool_] = np.array(WINDOW_S) > 32
_ABOVE_MOOD = 1.5
#: No count reaches further.
_MAX_LEVEL = np.iinfo(np.int32).max
#: A peak's logarithm sinks by this a block: by a tenth in a day.
_PEAK_FADE = 0.1 / 144
_BLOCKS_A_DAY = 86_400_000_000 // BLOCK_US


class BurstConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a level may grow, and how many independent windows share the false alarms."""

    growth_per_day: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    effective_tests: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 10
    known_blocks: Annotated[int, msgspec.Meta(ge=12)] = 72


@register(
    "traffic.burst",
    BurstConfig,
    kinds={
        "burst": Kind(
            severity="medium",
            atlas=("AML.T0029", "AML.T0034.000", "AML.T0046"),
            owasp=("LLM06:2026", "LLM10:2025"),
        )
    },
    cost="O(windows x metrics)",
    state_bytes=1400,
)
class Burst:
    """Count requests, tokens and errors over windows of 4 to 512 s against the client's own past.

    Counts are those of `detectors.traffic.counters`. Levels come from `detectors.traffic.levels`
    when a ten-minute block closes, for the wanted run length; maxima are learned only up to the
    level and levels grow slowly, so that a burst does not teach the detector to expect it.
    """

    version: ClassVar[int] = 2

    def __init__(self, config: BurstConfig, context: Context) -> None:
        self._config = config
        self._run_length = context.run_length_events
        profile = context.profile
        known = profile is not None and len(profile.burst_mean) > 0
        self._cohort = (
            Cohort(profile.burst_mean, profile.burst_spread)
            if profile is not None and known
            else default_cohort()
        )
        self._growth = math.log1p(config.growth_per_day) / _BLOCKS_A_DAY
        self._table = ClientTable(
            context.max_clients,
            {
                "second": ((), np.int32),
                "level": (_SHAPE, np.int32),
                "maximum": (_SHAPE, np.int32),
                "total": (_SHAPE, np.float32),
                "squares": (_SHAPE, np.float32),
                "peak": (_SHAPE, np.float32),
                "mood": (_SHAPE, np.float32),
                "blocks": ((), np.int64),
                "requests": ((), np.int64),
                "alarm": ((), np.int8),
                "alarm_block": ((), np.int64),
                "since_us": ((), np.int64),
            },
        )
        self._counters = Counters(context.max_clients * len(METRICS))
        self._first_level = self._levels(
            np.zeros((1, *_SHAPE)), np.zeros((1, *_SHAPE)), 0, TYPICAL_REQUESTS
        )[0]

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        counters = len(METRICS) * self._counters.table.bytes_per_client
        return self._table.bytes_per_client + counters

    def observe(self, piece: Piece) -> list[Crossing]:
        """Count the rows of a piece and compare with the levels."""
        segments = piece.segments
        batch = piece.batch
        values = metric_values(batch.status, batch.input_tokens, batch.output_tokens)
        second = self._seconds(segments, batch.time_us[segments.order] // SECOND_US)
        block = second // _BLOCK_S
        changes = np.r_[False, block[1:] != block[:-1]]
        changes[segments.starts] = False
        turn = np.cumsum(changes)
        turn -= np.repeat(turn[segments.starts], segments.counts)
        crossings: list[Crossing] = []
        if not turn.any():
            return self._within_block(piece, segments, values, second)
        for index in range(int(turn.max()) + 1):
            keep = np.flatnonzero(turn == index)
            rows = segments.order[keep]
            part = _regroup(rows, segments.slot[keep])
            crossings += self._within_block(piece, part, values, second[keep])
        return crossings

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._table.reset(slots)
        self._counters.table.reset(_rows(slots))

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("clients", self._table.snapshot(slots_used)),
            **nest("counters", self._counters.table.snapshot(slots_used * len(METRICS))),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._table.restore(pick("clients", arrays))
        self._counters.table.restore(pick("counters", arrays))

    def _seconds(self, segments: Segments, second: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return seconds that never go back: late rows count in the newest bucket."""
        gap = np.repeat(np.arange(len(segments.slots)) << 44, segments.counts)
        last = np.repeat(self._table["second"][segments.slots], segments.counts)
        second = np.clip(second, 0, np.iinfo(np.int32).max)
        ahead: NDArray[np.int64] = np.maximum.accumulate(np.maximum(second, last) + gap) - gap
        return ahead

    def _within_block(
        self,
        piece: Piece,
        segments: Segments,
        values: NDArray[np.int64],
        second: NDArray[np.int64],
    ) -> list[Crossing]:
        """Handle rows of which no client has two in different blocks."""
        table, slots, starts = self._table, segments.slots, segments.starts
        self._close_blocks(slots, second[starts])
        given = values[segments.order]
        before = self._counters.table.take(_rows(slots))
        peak = self._count(segments, given, second)
        table["second"][slots] = second[starts + segments.counts - 1]
        table["requests"][slots] += segments.counts
        table["maximum"][slots] = np.maximum(table["maximum"][slots], peak)
        loud = np.flatnonzero((peak > table["level"][slots]).any(axis=(1, 2)))
        crossings: list[Crossing] = []
        for group in loud.tolist():
            part = slice(int(starts[group]), int(starts[group] + segments.counts[group]))
            held = {
                name: column[group * len(METRICS) : (group + 1) * len(METRICS)]
                for name, column in before.items()
            }
            windows = _replayed(held, given[part], second[part])
            crossings += self._walk(piece, segments, group, windows)
        return crossings

    def _count(
        self, segments: Segments, values: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Count the rows; return the highest windows (clients, metrics, `CHANNELS`)."""
        group = np.repeat(np.arange(len(segments.slots)), segments.counts)
        new = np.r_[True, (group[1:] != group[:-1]) | (second[1:] != second[:-1])]
        first = np.flatnonzero(new)
        value = np.add.reduceat(values, first, axis=0)
        peak = np.zeros((len(segments.slots), *_SHAPE), np.int32)
        for metric in range(len(METRICS)):
            some = np.flatnonzero(value[:, metric])
            who = group[first[some]]
            row = segments.slots[who] * len(METRICS) + metric
            ticks = Ticks(row, second[first[some]].astype(np.int32), value[some, metric])
            rank = ticks.rank
            for turn in range(int(rank.max(initial=-1)) + 1):
                now = np.flatnonzero(rank == turn)
                windows = self._counters.add(ticks.take(now))
                peak[who[now], metric] = np.maximum(peak[who[now], metric], windows)
        return peak

    def _close_blocks(self, slots: NDArray[np.intp], second: NDArray[np.int64]) -> None:
        """Learn the maxima of blocks that are over, and set new levels."""
        table = self._table
        block = second // _BLOCK_S
        fresh = slots[table["requests"][slots] + table["blocks"][slots] == 0]
        table["level"][fresh] = self._first_level
        before = table["second"][slots] // _BLOCK_S
        over = (block > before) & (table["requests"][slots] > 0)
        closing, elapsed = slots[over], (block - before)[over]
        if not len(closing):
            return
        learned = np.minimum(table["maximum"][closing], table["level"][closing])
        logs = np.log1p(learned.astype(np.float64))
        fade = np.where(table["blocks"][closing] >= MAX_BLOCKS, 0.5, 1.0)[:, None, None]
        total = table["total"][closing] * fade + logs
        squares = table["squares"][closing] * fade + logs**2
        blocks = (table["blocks"][closing] * fade[:, 0, 0]).astype(np.int64) + 1
        peak = np.maximum(table["peak"][closing] - _PEAK_FADE, logs)
        seen = np.log1p(table["maximum"][closing].astype(np.float64))
        mood = np.maximum(table["mood"][closing] - _PEAK_FADE, seen)
        table["peak"][closing], table["mood"][closing] = peak, mood
        wanted = self._levels(total, squares, blocks, table["requests"][closing])
        # A tail fitted to a few blocks reaches far; what many blocks stayed below says more.
        known = blocks[:, None, None] >= self._config.known_blocks
        wanted = np.where(known, np.minimum(wanted, self._above(peak)), wanted)
        grown = np.log1p(table["level"][closing]) + self._growth * elapsed[:, None, None]
        ceiling = np.ceil(np.expm1(grown)).astype(np.int64)
        calm = (table["alarm"][closing] > 0) & (table["alarm_block"][closing] < before[over])
        table["alarm"][closing[calm]] = 0
        level = np.minimum(wanted, ceiling)
        told = np.ceil(_ABOVE_MOOD * np.expm1(mood))
        level = np.where(_LONG, np.maximum(level, told), level)
        table["level"][closing] = np.minimum(level, _MAX_LEVEL)
        table["total"][closing], table["squares"][closing] = total, squares
        table["blocks"][closing] = blocks
        table["maximum"][closing] = 0
        table["requests"][closing] = 0

    def _above(self, peak: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a client with these log peaks stays below."""
        count = np.expm1(peak)
        above: NDArray[np.float64] = _ABOVE_PEAK * count
        above[:, 0] += _CHANCE * np.sqrt(count[:, 0])
        least = np.where(np.arange(len(METRICS)) == 0, self._config.min_requests, 0)[:, None]
        return np.where(_LONG, np.inf, np.maximum(np.ceil(above), least))

    def _levels(
        self,
        total: NDArray[np.float64],
        squares: NDArray[np.float64],
        blocks: NDArray[np.int64] | int,
        requests: NDArray[np.int64] | int,
    ) -> NDArray[np.int64]:
        """Return the largest counts that are no burst."""
        count = np.asarray(blocks, np.float64).reshape(-1, 1, 1)
        # A client that sends n requests a block may exceed in one of run_length / n blocks, but
        # the busiest not more often than once in two weeks. How a new client differs from others
        # is drawn once, not in each block: more may be risked on it.
        seen = np.maximum(np.asarray(requests, np.float64).reshape(-1, 1, 1), 1.0)
        most = np.where(count < PRIOR_BLOCKS, 2e-3, 5e-4)
        false_alarm = np.clip(seen / self._run_length, 1e-5, most) / self._config.effective_tests
        logs = level_logs(self._cohort, count, total, squares, false_alarm)
        least = np.where(np.arange(len(METRICS)) == 0, self._config.min_requests, 0)
        least[METRICS.index("errors")] = self._config.min_requests
        level = np.ceil(np.expm1(np.minimum(logs, 40.0))).astype(np.int64)
        return np.minimum(np.maximum(level, least[None, :, None]), _MAX_LEVEL)

    def _walk(
        self, piece: Piece, segments: Segments, group: int, windows: NDArray[np.int64]
    ) -> list[Crossing]:
        """Find the exact rows at which a client crosses its level and escalates."""
        slot, start = int(segments.slots[group]), int(segments.starts[group])
        level = self._table["level"][slot].astype(np.int64)
        reached = sum(
            (windows > factor * level).any(axis=(1, 2)).astype(np.int64) for factor in ESCALATIONS
        )
        alarm = int(self._table["alarm"][slot])
        crossings = []
        for offset in np.flatnonzero(reached).tolist():
            row = int(segments.order[start + offset])
            time_us = int(piece.batch.time_us[row])
            self._table["alarm_block"][slot] = self._table["second"][slot] // _BLOCK_S
            if int(reached[offset]) <= alarm:
                continue
            if alarm == 0:
                self._table["since_us"][slot] = time_us
            alarm = int(reached[offset])
            crossings.append(self._crossing(piece, row, slot, alarm, windows[offset]))
        self._table["alarm"][slot] = alarm
        return crossings

    def _crossing(
        self, piece: Piece, row: int, slot: int, alarm: int, window: NDArray[np.int64]
    ) -> Crossing:
        level = self._table["level"][slot]
        excess = np.log1p(window) - np.log1p(level)
        metric, channel = divmod(int(excess.argmax()), CHANNELS)
        total, blocks = self._table["total"][slot], int(self._table["blocks"][slot])
        return piece.crossing(
            row,
            kind="burst",
            level=alarm,
            log_e=round(math.log(self._run_length) * FIXED_POINT_ONE),
            since_us=int(self._table["since_us"][slot]),
            evidence={
                "metric": METRICS[metric],
                "window_s": WINDOW_S[channel],
                "busiest_part": "with" if channel == 0 else "without",
                "count": int(window[metric, channel]),
                "level": int(level[metric, channel]),
                "cohort_count": round(float(np.expm1(self._cohort.mean[metric, channel])), 1),
            },
            usual=Usual("count", float(np.expm1(total[metric, channel] / max(1, blocks))), blocks),
        )


def _regroup(rows: NDArray[np.intp], slot: NDArray[np.intp]) -> Segments:
    """Group rows that are sorted by client already."""
    starts = np.flatnonzero(np.r_[True, slot[1:] != slot[:-1]])
    return Segments(rows, slot[starts], starts, np.diff(np.r_[starts, len(slot)]))


def _rows(slots: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the counters of clients."""
    rows: NDArray[np.intp] = (slots[:, None] * len(METRICS) + np.arange(len(METRICS))).ravel()
    return rows


def _replayed(
    held: State, values: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the windows (n, metrics, `CHANNELS`) of one client after each of its rows.

    ``held`` is what its counters held before them.
    """
    counters = Counters(len(METRICS))
    counters.table.restore(held)
    windows = np.zeros((len(values), *_SHAPE), np.int64)
    first = np.flatnonzero(np.r_[True, second[1:] != second[:-1]])
    for start, stop in zip(first.tolist(), [*first[1:].tolist(), len(values)], strict=True):
        sums = np.cumsum(values[start:stop], axis=0)
        now = np.flatnonzero(sums[-1])
        at = int(second[start])
        counters.add(Ticks(now, np.full(len(now), at, np.int32), sums[-1][now]))
        for metric in now.tolist():
            windows[start:stop, metric] = counters.within(
                metric, at, int(sums[-1, metric]), sums[:, metric]
            )
    return windows
