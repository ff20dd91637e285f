"""Attacks on top of callers, and how they are judged."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.traffic import (
    HISTORY,
    JUDGED,
    WINDOW_S,
    Attack,
    Caller,
    Judge,
    burst,
    by_day,
    ramp,
)

ENDS_S = (HISTORY + JUDGED) * WINDOW_S


def steady(seed: int, rate_hz: float = 0.05) -> Caller:
    rng = np.random.default_rng(seed)
    return Caller(f"c{seed}", np.sort(rng.uniform(0, ENDS_S, rng.poisson(rate_hz * ENDS_S))))


def test_a_slow_rise_reaches_its_multiple_of_the_mean() -> None:
    attack = ramp(steady(1, 1.0), 10, 3600, np.random.default_rng(0))
    late = (attack.arrivals_s > attack.begins_s + 3600).sum() / WINDOW_S
    early = (attack.arrivals_s < attack.begins_s + WINDOW_S).sum() / WINDOW_S
    assert abs(late - 9) < 1
    assert early < 0.5


def test_by_day_some_requests_are_left_out_and_none_is_new() -> None:
    caller = steady(1)
    daily = by_day(caller, np.random.default_rng(0))
    share = len(daily.arrivals_s) / len(caller.arrivals_s)
    assert 0.4 < share < 0.9
    assert np.isin(daily.arrivals_s, caller.arrivals_s).all()


def test_each_attack_is_judged_from_the_same_past() -> None:
    everybody = [steady(seed) for seed in range(4)]
    judge = Judge(everybody, None, 60_000)
    rng = np.random.default_rng(0)
    attacks = [burst(caller, 10, rng) for caller in everybody]
    first = judge.delays_s(attacks)
    assert len(first) == 4
    assert max(first) < 20
    assert judge.delays_s(attacks) == first
    assert judge.false_hours() == 0
    silence = [Attack(np.zeros(0), a.begins_s, a.ends_s) for a in attacks]
    assert judge.delays_s(silence) == []
