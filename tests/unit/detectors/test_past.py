"""Levels follow a client's peaks, but not its bursts."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.traffic.counters import CHANNELS
from detectors.traffic.levels import METRICS, default_cohort
from detectors.traffic.past import BLOCK_TICKS, BurstConfig, Past

CLIENT = np.array([0])
REQUESTS = CLIENT * len(METRICS)
FIRST_BLOCK = 3_000_000
A_DAY = 144


class Life:
    """One client whose blocks have given highest values of requests."""

    def __init__(self, config: BurstConfig | None = None) -> None:
        self.past = Past(2048, default_cohort(), config or BurstConfig(), 60_000)
        self.block = FIRST_BLOCK

    def live(self, value: float, blocks: int = 1) -> bool:
        """Live some blocks; tell whether the last was above its level."""
        for _ in range(blocks):
            self.past.go_on(CLIENT, np.array([self.block * BLOCK_TICKS]), np.array([50]))
            windows = np.full((1, CHANNELS), value, np.float32)
            above = len(self.past.add(REQUESTS, windows)) > 0
            self.block += 1
        return above

    def brief(self, value: float) -> bool:
        """Live a block that is usual but for three seconds."""
        self.live(40.0)
        windows = np.full((1, CHANNELS), 40.0, np.float32)
        windows[0, 0] = value
        return len(self.past.add(REQUESTS, windows)) > 0

    @property
    def base(self) -> np.ndarray:
        """Levels of requests, whatever was told of."""
        return self.past.table["base"][0, 0].copy()


def known(value: float = 40.0) -> Life:
    life = Life()
    life.live(value, A_DAY)
    return life


def test_what_a_client_always_did_is_no_news() -> None:
    assert not known().live(40.0, A_DAY)


def test_a_known_client_is_told_of_well_below_three_times_its_peak() -> None:
    assert known().live(100.0)


def test_a_new_client_may_do_what_many_do() -> None:
    assert not Life().live(10.0)


def test_what_was_told_of_is_news_again_if_it_doubles() -> None:
    life = known()
    assert life.live(120.0)
    assert not life.live(120.0)
    assert life.live(300.0)


def test_a_burst_that_was_told_of_is_news_at_the_same_height_after_a_day() -> None:
    life = known()
    assert life.brief(120.0)
    assert not life.brief(120.0)
    life.live(40.0, A_DAY)
    assert life.brief(120.0)


def test_bursts_teach_no_more_than_levels_may_grow() -> None:
    life = known()
    before = life.base
    for _ in range(A_DAY):
        life.live(400.0)
    config = BurstConfig()
    assert (life.base[:3] <= before[:3] * (1 + config.brief_growth_per_day) * 1.1).all()
    assert (life.base[3:] <= before[3:] * (1 + config.growth_per_day) * 1.1).all()


def test_who_rises_a_little_with_each_block_is_found() -> None:
    life, value = known(), 40.0
    for _ in range(18):
        value *= 1.15
        if life.live(value):
            break
    assert value < 4 * 40.0


@pytest.mark.parametrize(("value", "calm"), [(40.0, [0]), (400.0, [])])
def test_only_a_calm_block_ends_an_alarm(value: float, calm: list[int]) -> None:
    life = known()
    life.live(value)
    later = np.array([life.block * BLOCK_TICKS])
    assert life.past.go_on(CLIENT, later, np.array([1])).tolist() == calm
