"""Counts of the last seconds without their clumps, and sums that fade."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.traffic.counters import FADES_S, MAX_COUNT, PARTS, TICK_US, Counters, Ticks

TICK_S = TICK_US / 1_000_000
START = 7_160_000_000


def tick(at, value, row=0):
    return Ticks(np.array([row]), np.array([at]), np.array([value]))


def by_hand(events, now):
    """Return the windows at a tick, from all events before."""
    counts: dict[int, int] = {}
    for at, value in events:
        counts[at] = counts.get(at, 0) + value
    recent = sorted(counts.get(now - part, 0) for part in range(PARTS))
    roots, *plain = FADES_S
    left = {at: (now - at) * TICK_S for at in counts}
    return [
        sum(recent[:-2]),
        sum(math.sqrt(n) * math.exp(-left[at] / roots) for at, n in counts.items()),
        *[sum(n * math.exp(-left[at] / fade) for at, n in counts.items()) for fade in plain],
    ]


steps = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 50)), min_size=1, max_size=40)


@given(steps)
def test_windows_are_what_counting_by_hand_gives(steps):
    counters, events, now = Counters(1), [], START
    for pause, value in steps:
        now += pause
        events.append((now, value))
        windows = counters.add(tick(now, value))[0].tolist()
        assert windows == pytest.approx(by_hand(events, now), rel=1e-4, abs=1e-4)


@given(steps, st.integers(1, 4))
def test_what_is_held_does_not_depend_on_how_a_tick_is_cut(steps, pieces):
    whole, cut, now = Counters(1), Counters(1), START
    for pause, value in steps:
        now += pause
        last = whole.add(tick(now, value * pieces))
        for _ in range(pieces):
            latest = cut.add(tick(now, value))
        assert latest.tolist() == last.tolist()
    assert cut.table["held"].tobytes() == whole.table["held"].tobytes()


def test_a_clump_loses_its_count_and_a_burst_keeps_most():
    clump, burst = Counters(1), Counters(1)
    clumped = clump.add(tick(START, 480))[0]
    for at in range(PARTS):
        lasting = burst.add(tick(START + at, 40))[0]
    assert clumped[0] == 0
    assert lasting[0] == 400
    assert lasting[1] > 2 * clumped[1]


def test_after_a_long_silence_a_counter_is_as_new():
    counters = Counters(2)
    counters.add(tick(START, 9, row=0))
    later = [counters.add(tick(START + 40_000, 5, row=row)).tolist() for row in (0, 1)]
    assert later[0] == later[1]


def test_counts_beyond_all_measure_stay_finite():
    counters = Counters(1)
    for at in range(20_000):
        windows = counters.add(tick(START + at, 1 << 40))[0]
    assert windows[0] == (PARTS - 2) * MAX_COUNT
    assert np.isfinite(windows).all()


@given(steps, st.integers(1, 30), st.integers(1, 30))
def test_the_midst_of_a_tick_is_as_if_the_rest_had_not_come(steps, early, late):
    counters, half, now = Counters(1), Counters(1), START
    for pause, value in steps:
        now += pause
        for one in (counters, half):
            one.add(tick(now, value))
    counters.add(tick(now + 1, early + late))
    until = half.add(tick(now + 1, early))
    windows = counters.within(0, early + late, np.array([early, early + late]))
    assert windows[0].tolist() == until[0].tolist()
    assert windows[1].tolist() == half.add(tick(now + 1, late))[0].tolist()


def test_a_tick_costs_what_is_active_whoever_else_is_held():
    few, many = Counters(4_000), Counters(400_000)
    many.add(Ticks(np.arange(400_000), np.full(400_000, 9), np.ones(400_000, np.int64)))
    rows = np.arange(4_000)

    def cost_s(counters, spread, at):
        ticks = Ticks(rows * spread, np.full(4_000, at), np.ones(4_000, np.int64))
        began_s = time.process_time()
        counters.add(ticks)
        return time.process_time() - began_s

    pairs = [(cost_s(few, 1, at), cost_s(many, 100, at)) for at in range(10, 30)]
    small, large = (min(costs) for costs in zip(*pairs, strict=True))
    assert large < 4 * small
