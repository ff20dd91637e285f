"""Bursts: a client far above its own busiest moments, on any time scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from detectors.base import Context, Crossing, Piece, Usual
from detectors.batch import FIXED_POINT_ONE
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pick
from detectors.traffic.counters import CHANNELS, SUMS, TICK_US, WINDOW_S, Counters, Ticks
from detectors.traffic.levels import METRICS, Cohort, default_cohort, metric_values
from detectors.traffic.past import BurstConfig, Past

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: A burst escalates when it is this many times above its level.
ESCALATIONS = (1, 4, 16)


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
    cost="O(channels x metrics)",
    state_bytes=920,
)
class Burst:
    """Count requests, tokens and errors over seconds and minutes against the client's own past.

    Counts are those of `detectors.traffic.counters`, levels those of `detectors.traffic.past`.
    """

    version: ClassVar[int] = 3

    def __init__(self, config: BurstConfig, context: Context) -> None:
        self._run_length = context.run_length_events
        profile = context.profile
        shape = (len(METRICS), CHANNELS)
        known = profile is not None and profile.burst_mean.shape == shape
        self._cohort = (
            Cohort(profile.burst_mean, profile.burst_spread)
            if profile is not None and known
            else default_cohort()
        )
        self._past = Past(context.max_clients, self._cohort, config, self._run_length)
        self._counters = Counters(context.max_clients * len(METRICS))
        self._alarms = ClientTable(
            context.max_clients,
            {"alarm": ((), np.int8), "since_us": ((), np.int64)},
        )

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        counters = len(METRICS) * self._counters.table.bytes_per_client
        return counters + self._past.table.bytes_per_client + self._alarms.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Count the rows of a piece, tick by tick of each client, and compare with the levels."""
        rows = self._rows(piece)
        crossings: list[Crossing] = []
        for now in rows.ticks.rounds():
            crossings += self._observe(piece, rows, now)
        return crossings

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._past.table.reset(slots)
        self._alarms.reset(slots)
        self._counters.table.reset(
            (slots[:, None] * len(METRICS) + np.arange(len(METRICS))).ravel()
        )

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("past", self._past.table.snapshot(slots_used)),
            **nest("alarms", self._alarms.snapshot(slots_used)),
            **nest("counters", self._counters.table.snapshot(slots_used * len(METRICS))),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._past.table.restore(pick("past", arrays))
        self._alarms.restore(pick("alarms", arrays))
        self._counters.table.restore(pick("counters", arrays))

    def _rows(self, piece: Piece) -> _Rows:
        """Add up what each client did in each tick."""
        batch, segments = piece.batch, piece.segments
        order, slot = segments.order, segments.slot
        values = metric_values(batch.status, batch.input_tokens, batch.output_tokens)[order]
        tick = self._ticks(slot, batch.time_us[order] // TICK_US)
        new = np.ones(len(slot), np.bool_)
        new[1:] = (slot[1:] != slot[:-1]) | (tick[1:] != tick[:-1])
        first = np.append(np.flatnonzero(new), len(slot))
        if new.all():
            return _Rows(values, first, Ticks(slot, tick, values))
        came = np.add.reduceat(values, first[:-1], axis=0)
        return _Rows(values, first, Ticks(slot[new], tick[new], came))

    def _ticks(self, slot: NDArray[np.intp], tick: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ticks that never go back: late rows count in their client's newest one."""
        gap = slot << 36
        last = self._counters.table["tick"].take(slot * len(METRICS))
        tick = np.clip(tick, 1, (1 << 35) - 1)
        ahead: NDArray[np.int64] = np.maximum.accumulate(np.maximum(tick, last) + gap) - gap
        return ahead

    def _observe(self, piece: Piece, rows: _Rows, now: NDArray[np.intp]) -> list[Crossing]:
        """Count a tick of some clients."""
        slots, tick, value = rows.ticks.take(now)
        self._alarms["alarm"][self._past.go_on(slots, tick, value[:, 0])] = 0
        some, metric = np.nonzero(value)
        counter = slots[some] * len(METRICS) + metric
        windows = self._counters.add(Ticks(counter, tick[some], value[some, metric]))
        above = self._past.add(counter, windows)
        if not len(above):
            return []
        reached = _reached(windows[above], self._past.level(counter[above]))
        news = reached > self._alarms["alarm"][slots[some[above]]]
        crossings: list[Crossing] = []
        for place in np.unique(some[above][news]).tolist():
            loud = counter[above][some[above] == place]
            crossings += self._walk(piece, rows, int(now[place]), loud)
        return crossings

    def _walk(
        self, piece: Piece, rows: _Rows, place: int, counter: NDArray[np.intp]
    ) -> list[Crossing]:
        """Find the exact rows of a tick at which loud counters cross levels and escalate."""
        slot = int(rows.ticks.row[place])
        start = int(rows.first[place])
        windows = np.stack([self._within(rows, place, one) for one in counter.tolist()], axis=1)
        reached = _reached(windows, self._past.level(counter)).max(axis=1)
        alarm = int(self._alarms["alarm"][slot])
        crossings = []
        for offset in np.flatnonzero(reached > alarm).tolist():
            if int(reached[offset]) <= alarm:
                continue
            row = int(piece.segments.order[start + offset])
            if alarm == 0:
                self._alarms["since_us"][slot] = int(piece.batch.time_us[row])
            alarm = int(reached[offset])
            crossings.append(self._crossing(piece, row, alarm, counter, windows[offset]))
        self._alarms["alarm"][slot] = alarm
        return crossings

    def _within(self, rows: _Rows, place: int, counter: int) -> NDArray[np.float32]:
        """Return the windows of a counter after each row of its newest tick."""
        metric = counter % len(METRICS)
        came = rows.values[rows.first[place] : rows.first[place + 1], metric]
        return self._counters.within(counter, int(rows.ticks.value[place, metric]), np.cumsum(came))

    def _crossing(
        self,
        piece: Piece,
        row: int,
        alarm: int,
        counter: NDArray[np.intp],
        windows: NDArray[np.float32],
    ) -> Crossing:
        level = self._past.level(counter)
        place, channel = divmod(int((np.log1p(windows) - np.log1p(level)).argmax()), CHANNELS)
        slot, metric = divmod(int(counter[place]), len(METRICS))
        own, blocks = self._past.usual(slot, metric, channel)
        return piece.crossing(
            row,
            kind="burst",
            level=alarm,
            log_e=round(math.log(self._run_length) * FIXED_POINT_ONE),
            since_us=int(self._alarms["since_us"][slot]),
            evidence={
                "metric": METRICS[metric],
                "window_s": WINDOW_S[channel],
                "sum": SUMS[channel],
                "count": round(float(windows[place, channel]), 1),
                "level": round(float(level[place, channel]), 1),
                "cohort_count": round(float(np.expm1(self._cohort.mean[metric, channel])), 1),
            },
            usual=Usual("count", own, blocks),
        )


class _Rows(NamedTuple):
    """Rows of a piece by client and time.

    Attributes
    ----------
    values
        int64 (n, metrics): what each row adds.
    first
        intp (ticks + 1,): where each client's tick begins, and the end.
    ticks
        What each client did in each tick, in all metrics.
    """

    values: NDArray[np.int64]
    first: NDArray[np.intp]
    ticks: Ticks


def _reached(windows: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return how many of `ESCALATIONS` windows (..., `CHANNELS`) have reached."""
    times = np.array(ESCALATIONS, np.float32)[:, None]
    above = (windows[..., None, :] > times * level[..., None, :]).any(axis=-1)
    reached: NDArray[np.intp] = above.sum(axis=-1)
    return reached
