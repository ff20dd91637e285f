"""Beyond the sample, scores thin out as they do within it, and promise less than they could."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.evidence import TAIL_LEVELS, tail_thresholds
from detectors.tails import LEAST, SHARE, exponential_tail, high_tail, low_tail

SIZES = [300, 3000, 30_000]


def beyond(size: int) -> np.ndarray:
    return TAIL_LEVELS * (size + 1) < 1 - 1e-9


@pytest.mark.parametrize("size", SIZES)
def test_what_the_sample_ranks_is_ranked_by_it_alone(size: int) -> None:
    scores = np.random.default_rng(0).integers(1, 10_000, size)
    for continued, alone in (
        (high_tail(scores), tail_thresholds(-scores)),
        (exponential_tail(scores), tail_thresholds(-scores)),
        (low_tail(scores), tail_thresholds(scores)),
    ):
        assert (continued[~beyond(size)] == alone[~beyond(size)]).all()
        assert (np.diff(continued) >= 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_powers_are_met_from_the_safe_side(size: int) -> None:
    safe = []
    for seed in range(40):
        uniform = np.random.default_rng(seed).random(size)
        rare = TAIL_LEVELS[beyond(size)]
        # Exceeded with probability p: 1000 p**(-1/2); undercut: 1e9 p**(1/3).
        high = -high_tail(np.rint(1e3 * uniform**-0.5).astype(np.int64))[beyond(size)]
        low = low_tail(np.rint(1e9 * uniform ** (1 / 3)).astype(np.int64))[beyond(size)]
        # Exceeded with probability p: -500 ln p.
        odds = -exponential_tail(np.rint(-500 * np.log(uniform)).astype(np.int64))[beyond(size)]
        kept = (high >= 1e3 * rare**-0.5, low <= 1e9 * rare ** (1 / 3), odds >= -500 * np.log(rare))
        safe.append([part.all() for part in kept])
    assert np.mean(safe, axis=0).min() >= 0.9


def test_light_tails_are_never_underestimated() -> None:
    drawn = np.random.default_rng(0).exponential(1024, 3000)
    rare = beyond(3000)
    assert (-high_tail(drawn.astype(np.int64))[rare] >= 1024 * -np.log(TAIL_LEVELS[rare])).all()


def test_a_sample_too_small_for_a_tail_ranks_nothing_beyond_itself() -> None:
    scores = np.arange(1, int(LEAST / SHARE) - 1)
    assert (low_tail(scores) == tail_thresholds(scores)).all()
    assert (high_tail(scores) == tail_thresholds(-scores)).all()
    assert (high_tail(scores[:0]) == tail_thresholds(scores[:0])).all()
