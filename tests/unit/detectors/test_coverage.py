"""Coverage finds who maps the model out, and nobody who asks as ordinary clients do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from detectors.calibration import fit_profile
from detectors.query.coverage import _N_LOG_N, WINDOW, Windows
from detectors.suite import Suite
from detectors.testing import CLASSES, World

RUN_LENGTH = 60_000


@cache
def world() -> World:
    return World.make(seed=5)


@cache
def profile():
    return fit_profile(world().calibration(2000))


def found(sketch, client) -> set[str]:
    suite = Suite(
        "toy",
        profile(),
        run_length_events=RUN_LENGTH,
        max_clients=2048,
        lateness_us=0,
        detectors=("query.pincer", "query.coverage"),
    )
    findings = suite.observe(world().batch(sketch, client)).findings
    return {
        client
        for finding in findings
        if finding.detector == "query.coverage"
        for client in finding.subject.ids
    }


def test_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.integers(-127, 128, (WINDOW, 8), dtype=np.int8)
    group = rng.integers(0, 5, WINDOW)
    (whole,) = [Windows.of(embedding, group, np.array([0]), 5)]
    parts = Windows.of(embedding, group, np.array([0, 10, 40]), 5)
    for joined, apart in zip(whole, parts, strict=True):
        assert np.array_equal(joined[0], apart.sum(axis=0))


def test_scores_are_variance_and_entropy() -> None:
    rng = np.random.default_rng(1)
    embedding = rng.integers(-127, 128, (WINDOW, 8), dtype=np.int8)
    group = rng.integers(0, 3, WINDOW)
    spread, evenness = Windows.of(embedding, group, np.array([0]), 3).scores()[:, 0].tolist()
    assert spread / WINDOW**2 == pytest.approx(embedding.astype(float).var(axis=0).sum())
    share = np.bincount(group) / WINDOW
    entropy = -(share * np.log(share)).sum()
    assert (_N_LOG_N[WINDOW] + evenness) / WINDOW / 2**16 == pytest.approx(entropy, abs=1e-3)


def test_a_thief_that_asks_from_everywhere_is_found_within_a_few_windows() -> None:
    rng = np.random.default_rng(2)
    sketch = rng.integers(0, 256, (6 * WINDOW, 49)).astype(np.uint8)
    assert found(sketch, np.zeros(len(sketch), np.int32)) == {"client-0"}


def test_ordinary_clients_are_not_found_whatever_they_like() -> None:
    rng = np.random.default_rng(3)
    clients, queries = 100, 300
    label = rng.integers(0, CLASSES, (queries, clients)).astype(np.int32)
    label[:, :50] = rng.integers(0, CLASSES, 50)  # half of them ask about one class alone
    sketch = world().inputs(rng, label.ravel())
    client = np.tile(np.arange(clients), queries).astype(np.int32)
    assert found(sketch, client) == set()
