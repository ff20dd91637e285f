"""Ordinary clients ask in bursts, unevenly, about pictures of their own taste."""

from __future__ import annotations

import numpy as np
import pytest

from streams.demo.clients import (
    MAX_RATE_PER_S,
    Population,
    make_population,
    peak_rate_per_s,
    simulate,
)

CLASSES = np.repeat(np.arange(10), 40)


def one_client(*, rate_per_s: float, cv: float, weibull: bool) -> Population:
    return Population(("a",), np.array([rate_per_s]), np.array([cv]), np.array([weibull]))


def test_rates_are_heavy_tailed_and_add_up() -> None:
    population = make_population(300, 120.0, np.random.default_rng(0))
    rates = np.sort(population.rate_per_s)
    assert 100 < rates.sum() <= 120
    assert rates[-30:].sum() > 0.35 * rates.sum()
    assert rates.max() <= MAX_RATE_PER_S


@pytest.mark.parametrize("weibull", [False, True])
@pytest.mark.parametrize("cv", [1.0, 1.5, 2.0])
def test_gaps_have_the_wanted_mean_and_variation(cv: float, weibull: bool) -> None:
    population = one_client(rate_per_s=2.0, cv=cv, weibull=weibull)
    traffic = simulate(population, CLASSES, 10_000.0, np.random.default_rng(1))
    gaps = np.diff(traffic.time_s)
    assert gaps.mean() == pytest.approx(0.5, rel=0.06)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


def test_traffic_is_in_order_of_time_and_within_bounds() -> None:
    population = make_population(50, 30.0, np.random.default_rng(2))
    traffic = simulate(population, CLASSES, 60.0, np.random.default_rng(3))
    assert (np.diff(traffic.time_s) >= 0).all()
    assert traffic.time_s.min() >= 0
    assert traffic.time_s.max() < 60
    assert traffic.picture.max() < len(CLASSES)
    assert 0.6 * 1800 < len(traffic) < 1.4 * 1800


def test_the_same_seed_makes_the_same_traffic() -> None:
    population = make_population(20, 10.0, np.random.default_rng(4))
    one = simulate(population, CLASSES, 30.0, np.random.default_rng(5))
    two = simulate(population, CLASSES, 30.0, np.random.default_rng(5))
    np.testing.assert_array_equal(one.time_s, two.time_s)
    np.testing.assert_array_equal(one.picture, two.picture)


def test_pictures_repeat_only_as_retries_before_all_were_seen() -> None:
    population = one_client(rate_per_s=3.0, cv=1.0, weibull=False)
    traffic = simulate(population, CLASSES, 100.0, np.random.default_rng(6))
    retries = np.diff(traffic.picture) == 0
    fresh = traffic.picture[1:][~retries]
    assert 0 < retries.mean() < 0.1
    assert len(np.unique(fresh)) == len(fresh)


def test_the_peak_is_the_busiest_window_of_any_client() -> None:
    population = make_population(40, 20.0, np.random.default_rng(7))
    traffic = simulate(population, CLASSES, 60.0, np.random.default_rng(8))
    highest = max(
        int(((times >= start) & (times <= start + 10)).sum())
        for client in range(40)
        for times in [traffic.time_s[traffic.client == client]]
        for start in times
    )
    assert peak_rate_per_s(traffic) == highest / 10
