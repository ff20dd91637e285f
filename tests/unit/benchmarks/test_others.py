"""Attacks of other libraries are recorded query by query, and end when they have won."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.evasion import LINF, RMS
from benchmarks.quality.others import OTHERS, record
from benchmarks.quality.victims import Victim

QUERIES = 150
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)


def brighter_half(x: np.ndarray) -> np.ndarray:
    """Answer which half of the image is brighter, unsure near the boundary."""
    lead = (x[:, :4].mean(axis=(1, 2)) - x[:, 4:].mean(axis=(1, 2)).astype(float)) / 20
    sure = 1 / (1 + np.exp(-lead))
    return np.stack([sure, 1 - sure], axis=1).astype(np.float32)


VICTIM = Victim("toy", brighter_half, *[IMAGES] * 5)


@pytest.mark.parametrize("name", OTHERS)
def test_a_recorded_attack_ends_with_the_first_query_that_wins(name: str) -> None:
    for seed in range(3):
        asked, at = record(VICTIM, name, seed, QUERIES)
        assert asked.dtype == np.uint8
        assert 1 <= len(asked) <= QUERIES
        if at is not None:
            assert at == len(asked)
            answers = VICTIM.labels(asked)
            change = np.abs(IMAGES / 255.0 - asked[-1] / 255.0)
            within = np.sqrt((change**2).mean(axis=(1, 2))) <= RMS + 0.01
            within |= change.max(axis=(1, 2)) <= LINF + 0.01
            assert (within & (VICTIM.labels(IMAGES) != answers[-1])).any()


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_seed_records_the_same_attack(name: str) -> None:
    first, again = (record(VICTIM, name, 7, QUERIES)[0] for _ in range(2))
    assert first.shape == again.shape
    assert (first == again).all()
