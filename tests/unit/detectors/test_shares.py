"""What is usual for a pool, and for how long a change of it is news."""

from __future__ import annotations

import math

import numpy as np

from detectors.traffic.shares import BLOCK_TICKS, Shares

START = 1000 * BLOCK_TICKS
HOUR = 6 * BLOCK_TICKS
QUIET = (3, 6, 9, 40)
FLOODED = (30, 6, 9, 67)


def shares() -> Shares:
    return Shares((3, 1), 1e-5, math.log(2))


def play(
    running: Shares, hours: float, means: tuple[int, ...], start: int, *, alarms: bool = True
) -> tuple[int, list[tuple[int, int]]]:
    """Return where it ends, and the ticks at which pools were above with these."""
    rng = np.random.default_rng(start)
    end, above = start + int(hours * HOUR), []
    for tick in range(start, end):
        pools = running.close(tick, rng.poisson(means).astype(np.int32)).tolist()
        above += [(tick, pool) for pool in pools]
        for pool in pools if alarms else []:
            running.alarm(pool, tick)
    return end, above


def test_steady_pools_are_never_above() -> None:
    assert play(shares(), 6, QUIET, START)[1] == []


def test_a_pool_that_grows_tenfold_is_above_within_half_a_minute() -> None:
    running = shares()
    now, _ = play(running, 4, QUIET, START)
    _, above = play(running, 0.1, FLOODED, now)
    assert {pool for _, pool in above} == {0}
    assert above[0][0] - now < 6


def test_growth_that_all_others_share_is_above_for_no_pool_but_everything() -> None:
    running = shares()
    now, _ = play(running, 4, QUIET, START)
    _, above = play(running, 0.1, tuple(10 * mean for mean in QUIET), now)
    assert {pool for _, pool in above} == {3}


def test_a_change_that_lasts_is_usual_after_some_hours() -> None:
    running = shares()
    now, _ = play(running, 4, QUIET, START)
    now, above = play(running, 2, FLOODED, now)
    assert above[-1][0] > now - 60
    now, _ = play(running, 4, FLOODED, now)
    assert play(running, 1, FLOODED, now)[1] == []


def test_a_flood_under_alarm_teaches_nothing() -> None:
    running = shares()
    now, _ = play(running, 4, QUIET, START)
    usual = expected_per_s(running)
    now, _ = play(running, 1.5, FLOODED, now)
    assert expected_per_s(running) <= 1.2 * usual


def expected_per_s(running: Shares) -> float:
    figures = running.figures(0)
    return figures["expected"] / figures["window_s"]
