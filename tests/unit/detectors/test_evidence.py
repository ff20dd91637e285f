"""The e-CUSUM over batches equals the recursion, and keeps its promise under no attack."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import (
    TAIL_LEVELS,
    EvidenceSums,
    Hazard,
    TailTable,
    log_e,
    log_e_table,
    tail_thresholds,
)


def test_the_bet_is_fair_when_p_is_uniform() -> None:
    p = (np.arange(10_000) + 0.5) / 10_000
    mean = np.mean([np.exp(log_e(value) / FIXED_POINT_ONE) for value in p])
    assert 0.95 < mean <= 1.0


def test_p_values_are_never_smaller_than_the_rank_among_calibration_scores() -> None:
    scores = np.random.default_rng(0).integers(0, 500, 300)
    table = TailTable(tail_thresholds(scores)[None])
    levels = np.append(TAIL_LEVELS, 1.0)
    for value in range(-5, 510):
        exact = (1 + (scores <= value).sum()) / (len(scores) + 1)
        rank = table.rank(np.array([value]), np.array([0]))[0]
        assert levels[rank] >= exact - 1e-12
        assert rank == 0 or levels[rank - 1] < exact or rank == len(TAIL_LEVELS)


def test_more_entries_make_the_same_distance_less_surprising() -> None:
    table = log_e_table(64)
    assert (table[0] == 0).all()
    assert (np.diff(table[1:], axis=0) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 6))
def test_batches_equal_one_row_at_a_time(seed: int, rows: int, clients: int) -> None:
    rng = np.random.default_rng(seed)
    slot = rng.integers(0, clients, rows)
    increments = rng.integers(-2 * FIXED_POINT_ONE, 4 * FIXED_POINT_ONE, (rows, 2))
    time_us = np.arange(rows, dtype=np.int64)
    whole, single = (EvidenceSums(8, 2, 100) for _ in range(2))
    segments = Segments.of(np.arange(rows), slot)
    order = segments.order
    found = {
        (int(order[r.position]), r.level, r.sums, r.since_us, r.length, r.usual)
        for r in whole.update(segments, increments[order], time_us[order])
    }
    expected = set()
    for row in range(rows):
        one = Segments.of(np.array([row]), slot[row : row + 1])
        for r in single.update(one, increments[row : row + 1], time_us[row : row + 1]):
            expected.add((row, r.level, r.sums, r.since_us, r.length, r.usual))
    assert found == expected
    for name, column in whole.snapshot(8).items():
        if name != "since_us":  # of no meaning while the sum is zero
            assert np.array_equal(column, single.snapshot(8)[name]), name


def test_false_alarms_are_rarer_than_the_run_length() -> None:
    rng = np.random.default_rng(4)
    sums = EvidenceSums(200, 1, 1000)
    table = np.array([log_e(p) for p in (np.arange(1000) + 1) / 1000])
    alarms = 0
    for _ in range(100):
        slot = np.repeat(np.arange(200), 10)
        segments = Segments.of(np.arange(2000), slot)
        found = sums.update(
            segments, table[rng.integers(0, 1000, (2000, 1))], np.zeros(2000, np.int64)
        )
        alarms += sum(rise.level == 1 for rise in found)
    assert alarms <= 200  # 200,000 rows at one in 1,000


def test_an_alarm_is_quiet_until_it_escalates_or_returns_to_zero() -> None:
    sums = EvidenceSums(1, 1, 100)
    step = sums.threshold

    def push(*steps: float) -> list[int]:
        values = np.array([[round(s * step)] for s in steps])
        rows = np.arange(len(values))
        segments = Segments.of(rows, np.zeros(len(values), np.intp))
        return [rise.level for rise in sums.update(segments, values, rows)]

    assert push(1, 0.5, 0.5) == [1]
    assert push(-0.5, 1, 3) == [2]
    assert push(-100, 1) == [1]


def test_usual_is_the_mean_before_the_rise_and_no_alarm_teaches_it() -> None:
    sums = EvidenceSums(1, 1, 100)

    def push(*steps: float) -> list[tuple[float, int]]:
        values = np.array([[round(step * FIXED_POINT_ONE)] for step in steps])
        rows = np.arange(len(values))
        rises = sums.update(Segments.of(rows, np.zeros(len(rows), np.intp)), values, rows)
        return [rise.usual[1:3] for rise in rises]

    assert push(8) == [(0.0, 0)]  # nothing was before
    assert push(-99, 2, -1, -5, 1) == []
    # After the alarm: 0, then 2, 1, 0; the last 1 belongs to the rise.
    assert push(8) == [(0.75, 4)]
    assert push(-99, 0, 9) == [(0.5, 6)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=80))
def test_usual_equals_the_mean_over_settled_rows(steps: list[int]) -> None:
    sums = EvidenceSums(1, 1, 10**9)
    values = np.array(steps)[:, None] * FIXED_POINT_ONE
    rows = np.arange(len(steps))
    sums.update(Segments.of(rows, np.zeros(len(rows), np.intp)), values, rows)
    running = [0]
    for step in steps:
        running.append(max(0, running[-1] + step))
    zeros = [at for at, value in enumerate(running) if value == 0]
    settled = running[1 : zeros[-1] + 1]
    _, own, over, _ = sums.usual(np.array([0]))
    assert over == len(settled)
    assert own == (sum(settled) / len(settled) if settled else 0.0)


def test_the_nearest_of_several_kinds_of_entries_has_the_odds_of_all_together() -> None:
    levels = [*TAIL_LEVELS.tolist(), 1.0]
    rng = np.random.default_rng(5)
    counts, ranks = rng.integers(0, 60, (2, 300)), rng.integers(0, len(levels), (2, 300))
    found = Hazard().log_e((counts[0], ranks[0]), (counts[1], ranks[1]))
    for got, n, r in zip(found.tolist(), counts.T.tolist(), ranks.T.tolist(), strict=True):
        none = np.prod([(1 - levels[rank]) ** count for count, rank in zip(n, r, strict=True)])
        wanted = log_e(1 - none) if sum(n) else 0
        # p-values are rounded up to the next of 64 a decade.
        assert wanted - 0.03 * FIXED_POINT_ONE <= got <= wanted + 2
