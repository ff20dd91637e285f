"""What tells a search from harmless likeness: motion, runs, repeats, trees."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.base import Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.query.adjudicator import DEPTH, STEEPEST, Trees
from detectors.query.motion import Motion
from detectors.query.repeats import PLACES, Repeats
from detectors.query.runs import LENGTH, Runs

GRID = np.array([7, 7, 1, 0])


def scene(down: float, right: float, light: float = 1.0) -> np.ndarray:
    y, x = np.mgrid[:7, :7]
    image = 120 + 60 * np.sin((y - down) / 1.5) * np.cos((x - right) / 2)
    return np.clip(image * light, 0, 255).astype(np.uint8).reshape(1, 49)


def share(new: np.ndarray, old: np.ndarray) -> float:
    return float(Motion(GRID).explained(new, old)[0]) / FIXED_POINT_ONE


def test_a_small_shift_and_a_change_of_light_are_explained() -> None:
    assert share(scene(0.3, 0.2), scene(0, 0)) > 0.9
    assert share(scene(0, 0, 1.2), scene(0, 0)) > 0.9


def test_noise_and_a_single_change_are_not_explained() -> None:
    rng = np.random.default_rng(0)
    noisy = (scene(0, 0) + rng.integers(-20, 21, 49)).clip(0, 255).astype(np.uint8)
    changed = scene(0, 0)
    changed[0, 24] ^= 64
    assert share(noisy, scene(0, 0)) < 0.4
    assert share(changed, scene(0, 0)) < 0.4


def test_vectors_have_no_motion() -> None:
    assert Motion(np.zeros(4, np.int64)).explained(scene(1, 1), scene(0, 0)).tolist() == [0]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_a_run_counts_by_its_oddest_query(size: int) -> None:
    rng = np.random.default_rng(size)
    rows = 200
    slot, label = rng.integers(0, 3, rows), rng.integers(0, 2, rows).astype(np.int32)
    log_e = rng.integers(-50, 200, (rows, 2))
    runs, kept = Runs(3, 2), np.zeros((rows, 2), np.int64)
    for start in range(0, rows, size):
        take = np.arange(start, min(rows, start + size))
        segments = Segments.of(take, slot[take])
        kept[segments.order] = runs.excess(segments, label[segments.order], log_e[segments.order])
    assert np.array_equal(kept, one_by_one(slot, label, log_e))


def one_by_one(slot: np.ndarray, label: np.ndarray, log_e: np.ndarray) -> np.ndarray:
    held: dict[int, tuple[int, int, np.ndarray]] = {}
    kept = np.zeros_like(log_e)
    for row, (who, answer) in enumerate(zip(slot.tolist(), label.tolist(), strict=True)):
        last, length, highest = held.get(who, (-1, LENGTH, np.zeros(2, int)))
        if last != answer or length == LENGTH:
            length, highest = 0, np.zeros(2, int)
        positive = np.maximum(log_e[row], 0)
        kept[row] = np.maximum(positive - highest, 0) + np.minimum(log_e[row], 0)
        held[who] = (answer, length + 1, np.maximum(highest, positive))
    return kept


@pytest.mark.parametrize("size", [1, 64])
def test_a_payload_is_known_long_after_it_was_sent(size: int) -> None:
    rng = np.random.default_rng(1)
    once = rng.integers(1, 1 << 62, PLACES // 4).astype(np.uint64)
    sent = np.r_[once, once, np.zeros(2, np.uint64)]
    repeats, known = Repeats(1), []
    for start in range(0, len(sent), size):
        rows = np.arange(start, min(len(sent), start + size))
        segments = Segments.of(rows, np.zeros(len(rows), np.intp))
        known += repeats.seen(segments, sent[rows]).tolist()
    assert not any(known[: len(once)])
    # Some have lost their place to another one.
    assert sum(known[len(once) : -2]) > 0.6 * len(once)
    assert known[-2:] == [False, False]


def test_trees_add_the_leaves_that_features_lead_to() -> None:
    inner = 2**DEPTH - 1
    feature, bound = np.zeros((1, inner), np.int64), np.zeros((1, inner), np.int64)
    leaf = np.arange(inner + 1)[None] * 100
    trees = Trees(feature, bound, leaf, np.array([7]))
    assert trees.weigh(np.array([[-5], [5]])).tolist() == [7, 707]
    assert trees.lowered(1e9).weigh(np.array([[5]])).tolist() == [-STEEPEST]
