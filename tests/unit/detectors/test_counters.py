"""Counts of windows, whole and without their busiest quarter."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.traffic.counters import PARTS, SHIFTS, Counters, Ticks


def tick(second, value, row=0):
    return Ticks(np.array([row]), np.array([second], np.int32), np.array([value]))


def by_hand(events, now):
    """Return the windows at a second, from all events before."""
    windows = []
    for shift in SHIFTS.tolist():
        running = now >> shift
        parts = [
            sum(n for second, n in events if second >> shift == running - part)
            for part in range(PARTS)
        ]
        windows += [sum(parts)] if not windows else []
        windows.append(sum(parts) - max(parts))
    return windows


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 50)), min_size=1, max_size=40))
def test_windows_are_what_counting_by_hand_gives(steps):
    counters, events, now = Counters(1), [], 1_790_000_000
    for pause, value in steps:
        now += pause
        events.append((now, value))
        assert counters.add(tick(now, value))[0].tolist() == by_hand(events, now)


def test_a_clump_loses_its_count_and_a_burst_keeps_three_quarters():
    clump, burst = Counters(1), Counters(1)
    clumped = clump.add(tick(1000, 400))[0]
    for second in range(1000, 1004):
        lasting = burst.add(tick(second, 100))[0]
    assert clumped[:2].tolist() == [400, 0]
    assert lasting[:2].tolist() == [400, 300]


def test_the_midst_of_a_tick_is_as_if_the_rest_had_not_come():
    counters, half = Counters(1), Counters(1)
    for one in (counters, half):
        one.add(tick(1000, 8))
    counters.add(tick(1001, 10))
    until = half.add(tick(1001, 4))
    assert counters.within(0, 1001, 10, np.array([4, 10]))[0].tolist() == until[0].tolist()


def test_a_tick_costs_what_is_active_whoever_else_is_held():
    few, many = Counters(4_000), Counters(400_000)
    many.add(Ticks(np.arange(400_000), np.full(400_000, 9, np.int32), np.ones(400_000, np.int64)))
    rows = np.arange(4_000)

    def cost_s(counters, spread, second):
        ticks = Ticks(rows * spread, np.full(4_000, second, np.int32), np.ones(4_000, np.int64))
        began_s = time.process_time()
        counters.add(ticks)
        return time.process_time() - began_s

    pairs = [(cost_s(few, 1, at), cost_s(many, 100, at)) for at in range(10, 30)]
    small, large = (min(costs) for costs in zip(*pairs, strict=True))
    assert large < 4 * small
