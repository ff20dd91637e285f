"""What tells a search from harmless likeness: details, runs, repeats, trees."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.base import Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.query.adjudicator import DEPTH, STEEPEST, Trees
from detectors.query.code import codes_of, fit_codes
from detectors.query.likeness import DETAILS, Likeness
from detectors.query.repeats import PLACES, Repeats
from detectors.query.runs import LENGTH, Runs
from detectors.query.views import Shown, Views, last_kept

SIDE = 28
LIKENESS = Likeness(np.array([SIDE, SIDE]))


def scene(down: float = 0, right: float = 0, light: float = 1.0, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    waves = np.sin((y - down) / 3) * np.cos((x - right) / 4) + 0.5 * np.sin((x - right) / 2)
    return np.clip((120 + 60 * waves) * light, 0, 255).astype(np.uint8).reshape(1, -1)


def details(new: np.ndarray, old: np.ndarray, likeness: Likeness = LIKENESS) -> dict[str, float]:
    told = likeness.of(new, old)[0] / FIXED_POINT_ONE
    return dict(zip(DETAILS, told.tolist(), strict=True))


@pytest.mark.parametrize("side", [8, 14, 28, 32])
def test_motion_and_light_are_explained(side: int) -> None:
    likeness = Likeness(np.array([side, side]))
    unit = side / 28
    for other in (
        scene(1.5 * unit, -unit, side=side),
        scene(0, 0, 1.2, side=side),
        scene(unit, 0, 0.85, side=side),
    ):
        assert details(other, scene(side=side), likeness)["explained"] > 0.8


def test_the_changes_of_a_search_are_not_explained() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(scene() + rng.normal(0, 15, (1, SIDE**2)), 0, 255).astype(np.uint8)
    patched = scene().reshape(SIDE, SIDE).copy()
    patched[10:15, 12:17] = 255
    pixel = scene().copy()
    pixel[0, 300] ^= 128
    for changed in (noisy, patched.reshape(1, -1), pixel):
        told = details(changed, scene())
        assert told["explained"] < 0.4
        assert told["residual"] > 5
    assert details(pixel, scene())["sparse"] < 0.1
    assert details(noisy, scene())["rough"] > 0.3


def test_the_same_view_has_nothing_left() -> None:
    told = details(scene(), scene())
    assert told["residual"] == told["change"] == 0
    assert told["untouched"] == 1


def test_vectors_have_no_motion() -> None:
    vectors = Likeness(np.array([SIDE**2, 0]))
    told = details(scene(1.5, 1), scene(), vectors)
    assert told["explained"] == 0
    assert told["residual"] == told["change"] > 0


def test_pairs_are_told_alike_in_any_company() -> None:
    rng = np.random.default_rng(2)
    old = np.concatenate([scene(down, 0) for down in rng.uniform(-2, 2, 40)])
    new = np.concatenate([scene(0, right, 1.1) for right in rng.uniform(-2, 2, 40)])
    together = LIKENESS.of(new, old)
    for cut in (1, 7, 33):
        parts = [LIKENESS.of(new[i : i + cut], old[i : i + cut]) for i in range(0, 40, cut)]
        assert np.array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_query_is_compared_with_the_nearer_of_two_kept_views(size: int) -> None:
    rng = np.random.default_rng(size)
    rows = 200
    slot = rng.integers(0, 3, rows)
    shown = Shown(*(rng.integers(0, 256, (rows, n)).astype(np.uint8) for n in (5, 4)))
    kept = rng.random((2, rows)) < np.array([[0.7], [0.3]])
    views, last = Views(3, 5, 4), {}
    for start in range(0, rows, size):
        take = np.arange(start, min(rows, start + size))
        segments = Segments.of(take, slot[take])
        order = segments.order
        part = Shown(shown.view[order], shown.code[order])
        marks = (last_kept(kept[0][order]), last_kept(kept[1][order]))
        view, d2 = views.compared(segments, part, marks, np.arange(len(order)))
        views.remember(segments, part, marks)
        told = dict(zip(order.tolist(), zip(view.tolist(), d2.tolist(), strict=True), strict=True))
        for row in take.tolist():
            held = [last[slot[row], place] for place in (0, 1) if (slot[row], place) in last]
            steps = [int(((shown.code[row].astype(int) - shown.code[h]) ** 2).sum()) for h in held]
            assert told[row][1] == min(steps, default=-1)
            if held:
                assert told[row][0] == shown.view[held[int(np.argmin(steps))]].tolist()
            for place in np.flatnonzero(kept[:, row]).tolist():
                last[slot[row], place] = row


def test_noise_hardly_moves_a_code_and_another_input_does() -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal(128, 40, (500, 3)) @ rng.normal(0, 1, (3, 64)) / 2 + 100
    benign = np.clip(benign, 0, 255).astype(np.uint8)
    fit = fit_codes(benign)
    code = codes_of(fit, benign).astype(int)
    noisy = np.clip(benign + rng.normal(0, 10, benign.shape), 0, 255).astype(np.uint8)
    moved = np.linalg.norm(codes_of(fit, noisy) - code, axis=1)
    apart = np.linalg.norm(code - code[::-1], axis=1)
    assert np.median(moved) < 0.3 * np.median(apart)
    whole = codes_of(fit, noisy)
    assert all(np.array_equal(codes_of(fit, noisy[i : i + 1])[0], whole[i]) for i in range(20))


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
