"""Bursts: a client far above its own busiest moments, on any time scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State
from detectors.traffic.levels import (
    BLOCK_US,
    HALF_BUCKET_US,
    METRICS,
    PRIOR_BLOCKS,
    SCALES,
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
_SHAPE = (len(METRICS), SCALES)
#: Scales up to 32 s, where peaks are reached anew each day; longer windows follow the slow moods of
#: a client, and a fitted tail is what knows of those.
_SHORT = np.arange(SCALES) <= 5
#: A peak's logarithm sinks by this a block: by a tenth in a day.
_PEAK_FADE = 0.1 / 144
_BLOCKS_A_DAY = 86_400_000_000 // BLOCK_US


class BurstConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a level may grow, and how many independent scales share the false alarms."""

    growth_per_day: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    effective_tests: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 10
    known_blocks: Annotated[int, msgspec.Meta(ge=12)] = 72
    above_peak: Annotated[float, msgspec.Meta(ge=1)] = 1.5


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
    cost="O(scales x metrics)",
    state_bytes=2000,
)
class Burst:
    """Count requests, tokens and errors over windows of 1 to 512 s against the client's own past.

    Counts are kept in buckets of half a scale: a window is the running bucket and the one before
    it. Levels come from `detectors.traffic.levels` when a ten-minute block closes, for the wanted
    run length; maxima are learned only up to the level and levels grow slowly, so that a burst
    does not teach the detector to expect it.
    """

    version: ClassVar[int] = 1

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
                "half": ((), np.int64),
                "current": (_SHAPE, np.int64),
                "previous": (_SHAPE, np.int64),
                "level": (_SHAPE, np.int64),
                "maximum": (_SHAPE, np.int64),
                "total": (_SHAPE, np.float32),
                "squares": (_SHAPE, np.float32),
                "peak": (_SHAPE, np.float32),
                "blocks": ((), np.int64),
                "requests": ((), np.int64),
                "alarm": ((), np.int8),
                "alarm_block": ((), np.int64),
                "since_us": ((), np.int64),
            },
        )
        self._first_level = self._levels(
            np.zeros((1, *_SHAPE)), np.zeros((1, *_SHAPE)), 0, TYPICAL_REQUESTS
        )[0]

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's row."""
        return self._table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Count the rows of a piece and compare with the levels."""
        segments = piece.segments
        batch = piece.batch
        values = metric_values(batch.status, batch.input_tokens, batch.output_tokens)
        half = self._halves(segments, batch.time_us[segments.order] // HALF_BUCKET_US)
        block = half * HALF_BUCKET_US // BLOCK_US
        changes = np.r_[False, block[1:] != block[:-1]]
        changes[segments.starts] = False
        turn = np.cumsum(changes)
        turn -= np.repeat(turn[segments.starts], segments.counts)
        crossings: list[Crossing] = []
        if not turn.any():
            return self._within_block(piece, segments, values, half)
        for index in range(int(turn.max()) + 1):
            keep = np.flatnonzero(turn == index)
            rows = segments.order[keep]
            part = _regroup(rows, segments.slot[keep])
            crossings += self._within_block(piece, part, values, half[keep])
        return crossings

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self._table.snapshot(slots_used)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._table.restore(arrays)

    def _halves(self, segments: Segments, half: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return bucket numbers that never go back: late rows count in the newest bucket."""
        gap = np.repeat(np.arange(len(segments.slots)) << 44, segments.counts)
        last = np.repeat(self._table["half"][segments.slots], segments.counts)
        ahead: NDArray[np.int64] = np.maximum.accumulate(np.maximum(half, last) + gap) - gap
        return ahead

    def _within_block(
        self,
        piece: Piece,
        segments: Segments,
        values: NDArray[np.int64],
        half: NDArray[np.int64],
    ) -> list[Crossing]:
        """Handle rows of which no client has two in different blocks."""
        table, slots = self._table, segments.slots
        self._close_blocks(slots, half[segments.starts])
        windows = self._count(segments, values[segments.order], half)
        table["requests"][slots] += segments.counts
        table["maximum"][slots] = np.maximum(
            table["maximum"][slots], np.maximum.reduceat(windows, segments.starts, axis=0)
        )
        level = table["level"][slots]
        peak = np.maximum.reduceat(windows, segments.starts, axis=0)
        loud = np.flatnonzero((peak > level).any(axis=(1, 2)))
        crossings: list[Crossing] = []
        for group in loud.tolist():
            crossings += self._walk(piece, segments, group, windows)
        return crossings

    def _count(
        self, segments: Segments, values: NDArray[np.int64], half: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the windows (n, metrics, scales) after each row, and move the buckets on."""
        table, slots, starts = self._table, segments.slots, segments.starts
        ends = starts + segments.counts - 1
        total = np.concatenate([np.zeros((1, len(METRICS)), np.int64), np.cumsum(values, axis=0)])
        gap = np.repeat(np.arange(len(slots)) << 44, segments.counts)
        last = table["half"][slots]
        current, previous = table["current"][slots], table["previous"][slots]
        windows = np.empty((len(half), *_SHAPE), np.int64)
        for scale in range(SCALES):
            bucket = half >> scale
            key = bucket + gap
            behind = bucket - np.repeat(last >> scale, segments.counts)
            # A client's earlier rows count while they lie in the running bucket or the last.
            now, before = current[:, :, scale], previous[:, :, scale]
            held = np.repeat(np.stack([now + before, now], axis=1), segments.counts, axis=0)
            carried = np.where((behind == 0)[:, None], held[:, 0], held[:, 1])
            carried[behind > 1] = 0
            first = np.searchsorted(key, key - 1, side="left")
            windows[:, :, scale] = total[1:] - total[first] + carried
            # What remains: the bucket of the last row, and the one before it.
            opened = np.searchsorted(key, key[ends], side="left")
            running = total[ends + 1] - total[opened]
            running += np.where((behind[ends] == 0)[:, None], now, 0)
            table["previous"][slots, :, scale] = windows[ends, :, scale] - running
            table["current"][slots, :, scale] = running
        table["half"][slots] = half[ends]
        return windows

    def _close_blocks(self, slots: NDArray[np.intp], half: NDArray[np.int64]) -> None:
        """Learn the maxima of blocks that are over, and set new levels."""
        table = self._table
        block = half * HALF_BUCKET_US // BLOCK_US
        fresh = slots[table["requests"][slots] + table["blocks"][slots] == 0]
        table["level"][fresh] = self._first_level
        before = table["half"][slots] * HALF_BUCKET_US // BLOCK_US
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
        table["peak"][closing] = peak
        wanted = self._levels(total, squares, blocks, table["requests"][closing])
        # A tail fitted to a few blocks reaches far; what many blocks stayed below says more.
        known = (blocks[:, None, None] >= self._config.known_blocks) & _SHORT
        above = np.ceil(np.expm1(peak + math.log(self._config.above_peak))).astype(np.int64)
        least = np.where(np.arange(len(METRICS)) == 0, self._config.min_requests, 0)[None, :, None]
        wanted = np.where(known, np.minimum(wanted, np.maximum(above, least)), wanted)
        grown = np.log1p(table["level"][closing]) + self._growth * elapsed[:, None, None]
        ceiling = np.ceil(np.expm1(grown)).astype(np.int64)
        calm = (table["alarm"][closing] > 0) & (table["alarm_block"][closing] < before[over])
        table["alarm"][closing[calm]] = 0
        table["level"][closing] = np.minimum(wanted, ceiling)
        table["total"][closing], table["squares"][closing] = total, squares
        table["blocks"][closing] = blocks
        table["maximum"][closing] = 0
        table["requests"][closing] = 0

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
        return np.maximum(level, least[None, :, None])

    def _walk(
        self, piece: Piece, segments: Segments, group: int, windows: NDArray[np.int64]
    ) -> list[Crossing]:
        """Find the exact rows at which a client crosses its level and escalates."""
        slot, start = int(segments.slots[group]), int(segments.starts[group])
        span = windows[start : start + int(segments.counts[group])]
        level = self._table["level"][slot]
        reached = sum(
            (span > factor * level).any(axis=(1, 2)).astype(np.int64) for factor in ESCALATIONS
        )
        alarm = int(self._table["alarm"][slot])
        crossings = []
        for offset in np.flatnonzero(reached).tolist():
            row = int(segments.order[start + offset])
            time_us = int(piece.batch.time_us[row])
            self._table["alarm_block"][slot] = (
                self._table["half"][slot] * HALF_BUCKET_US // BLOCK_US
            )
            if int(reached[offset]) <= alarm:
                continue
            if alarm == 0:
                self._table["since_us"][slot] = time_us
            alarm = int(reached[offset])
            crossings.append(self._crossing(piece, row, slot, alarm, span[offset]))
        self._table["alarm"][slot] = alarm
        return crossings

    def _crossing(
        self, piece: Piece, row: int, slot: int, alarm: int, window: NDArray[np.int64]
    ) -> Crossing:
        level = self._table["level"][slot]
        excess = np.log1p(window) - np.log1p(level)
        metric, scale = divmod(int(excess.argmax()), SCALES)
        return piece.crossing(
            row,
            kind="burst",
            level=alarm,
            log_e=round(math.log(self._run_length) * FIXED_POINT_ONE),
            since_us=int(self._table["since_us"][slot]),
            evidence={
                "metric": METRICS[metric],
                "window_s": 1 << scale,
                "count": int(window[metric, scale]),
                "level": int(level[metric, scale]),
                "own_blocks": int(self._table["blocks"][slot]),
            },
        )


def _regroup(rows: NDArray[np.intp], slot: NDArray[np.intp]) -> Segments:
    """Group rows that are sorted by client already."""
    starts = np.flatnonzero(np.r_[True, slot[1:] != slot[:-1]])
    return Segments(rows, slot[starts], starts, np.diff(np.r_[starts, len(slot)]))
