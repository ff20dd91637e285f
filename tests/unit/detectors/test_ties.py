"""Changes by one and the same amount are seen from the first of them on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Segments
from detectors.query.ties import ELEMENTS, KEPT, Ties, fit_ties, places, tied_elements

SIDE = 12
SIZE = SIDE * SIDE


def textures(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.integers(60, 196, (rows, SIZE)).astype(np.uint8)


def corner(rng: np.random.Generator, x: np.ndarray, step: int) -> np.ndarray:
    return (x + rng.choice((-step, step), x.shape)).astype(np.uint8)


def log10_p(thresholds: np.ndarray, tied: int) -> float:
    return (float(np.flatnonzero(-tied <= thresholds)[0]) - 96) / 16


def brute_force(history: list[np.ndarray], x: np.ndarray) -> int:
    at = places(SIZE)
    return max((int(tied_elements(x[at], old[at])) for old in history[-KEPT:]), default=0)


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_queries_are_compared_with_the_last_new_ones_however_the_stream_is_cut(batch: int) -> None:
    rng = np.random.default_rng(batch)
    x, slot = textures(rng, 200) // 32 * 32, rng.choice(3, 200, p=[0.6, 0.3, 0.1])
    new = rng.random(200) < 0.8
    ties, history = Ties(4, SIZE), {client: [] for client in range(3)}
    for start in range(0, 200, batch):
        rows = np.arange(start, min(200, start + batch))
        segments = Segments.of(rows, slot[rows])
        tied, entries = ties.observe(segments, x[segments.order], new[segments.order])
        for place, row in enumerate(segments.order.tolist()):
            seen = history[int(slot[row])]
            assert entries[place] == min(len(seen), KEPT)
            assert tied[place] == brute_force(seen, x[row])
            if new[row]:
                seen.append(x[row])


@pytest.mark.parametrize("step", [8, 20, 51])
def test_corners_of_a_box_tie_as_no_two_inputs_do(step: int) -> None:
    rng = np.random.default_rng(step)
    reference = textures(rng, 1000)
    thresholds = fit_ties(reference, None, rng)
    x = textures(rng, 1)[0]
    attacked = corner(rng, x, step)
    at = places(SIZE)
    assert log10_p(thresholds, int(tied_elements(attacked[at], x[at]))) <= -4
    assert log10_p(thresholds, int(tied_elements(reference[0, at], reference[1, at]))) > -4


@given(st.integers(-60, 59))
def test_the_same_light_on_everything_is_no_tie(light: int) -> None:
    x = textures(np.random.default_rng(0), 1)
    lit = (x.astype(int) + light).astype(np.uint8)
    assert tied_elements(lit, x).tolist() == [0]


def test_variations_that_tie_make_ties_less_strange() -> None:
    rng = np.random.default_rng(2)
    reference = textures(rng, 1000)
    alone = fit_ties(reference, None, rng)
    varied = fit_ties(reference, corner(rng, reference, 20), rng)
    assert (varied <= alone).all()
    assert log10_p(varied, 30) > log10_p(alone, 30)


@pytest.mark.parametrize("size", [1, 7, 64, 784, 1024])
def test_compared_elements_are_distinct_and_spread(size: int) -> None:
    chosen = places(size)
    assert len(np.unique(chosen)) == min(ELEMENTS, size)
    assert np.diff(np.r_[-1, chosen, size]).max() <= -(-2 * size // ELEMENTS)


def test_compared_elements_are_in_all_columns_of_a_view() -> None:
    assert len(np.unique(places(32 * 32) % 32)) >= 24
