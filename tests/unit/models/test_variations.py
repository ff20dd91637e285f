"""Grain, harmless variations and drills."""

from __future__ import annotations

import numpy as np
import pytest

from models.grain import MAX_STEP, UNIT, grain_of
from models.layout import Layout
from models.variations import Motion, as_images, as_vectors, vary
from models.view import MAX_SIDE, view_grid, view_of

LAYOUTS = [Layout(8, 8, 1), Layout(6, 9, 3), Layout(6, 9, 3, channels_first=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_grain_is_the_mean_capped_second_difference(layout: Layout) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, layout.elements)).astype(np.uint8)
    image = as_images(values, layout)
    step = np.diff(np.diff(image, axis=1), axis=2)
    wanted = np.minimum(np.abs(step), MAX_STEP).mean(axis=(1, 2, 3))
    assert np.abs(grain_of(values, layout) / UNIT - wanted).max() <= 1 / UNIT


def test_noise_is_grainy_and_an_edge_is_not() -> None:
    layout = Layout(16, 16, 1)
    flat = np.full((1, 256), 100, np.uint8)
    edge = flat.copy()
    edge[:, 128:] = 250
    noisy = (flat + np.random.default_rng(0).integers(-25, 26, flat.shape)).astype(np.uint8)
    plain, sharp, rough = (int(grain_of(x, layout)[0]) for x in (flat, edge, noisy))
    assert plain == sharp == 0
    assert rough > 8 * UNIT


def test_vectors_and_empty_batches_have_no_grain() -> None:
    assert grain_of(np.ones((3, 7), np.uint8), Layout(7, 0, 0)).tolist() == [0, 0, 0]
    assert len(grain_of(np.zeros((0, 64), np.uint8), Layout(8, 8, 1))) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_come_back_as_they_were(layout: Layout) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, layout.elements)).astype(np.uint8)
    assert np.array_equal(as_vectors(as_images(values, layout), layout), values)


@pytest.mark.parametrize("layout", [*LAYOUTS, Layout(12, 0, 0)])
def test_standing_still_changes_nothing_and_moving_a_little(layout: Layout) -> None:
    rng = np.random.default_rng(0)
    smooth = 60 * np.sin(np.arange(layout.elements) / 3 + np.arange(4)[:, None])
    values = (120 + smooth).astype(np.uint8)
    still = vary(values, layout, Motion(np.zeros((4, 5))), rng, sensor=0.0)
    moved = vary(values, layout, Motion.at_random(4, rng), rng)
    assert np.array_equal(still, values)
    assert not np.array_equal(moved, values)
    assert moved.shape == values.shape


def test_a_slow_path_moves_little_from_frame_to_frame() -> None:
    path = Motion.slow(200, np.random.default_rng(0), 0.05).where
    assert np.abs(np.diff(path, axis=0)).max() < 0.3


@pytest.mark.parametrize(
    "layout",
    [*LAYOUTS, Layout(36, 36, 3), Layout(64, 64, 1), Layout(37, 33, 1), Layout(37, 33, 3),
     Layout(32, 32, 3, channels_first=True)],
)  # fmt: skip
def test_a_view_is_the_mean_over_blocks_and_channels(layout: Layout) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, layout.elements)).astype(np.uint8)
    view, (rows, columns) = view_of(values, layout), view_grid(layout).tolist()
    assert view.shape == (4, rows * columns)
    assert max(rows, columns) <= MAX_SIDE
    grey = as_images(values, layout).mean(axis=3)
    assert abs(float(view.mean()) - grey.mean()) < 2
    if layout.height % rows == layout.width % columns == 0:
        down, right = layout.height // rows, layout.width // columns
        wanted = grey.reshape(4, rows, down, columns, right).mean(axis=(2, 4))
        assert np.abs(view.reshape(wanted.shape) - wanted).max() < 0.51


def test_the_view_of_a_vector_is_the_vector() -> None:
    values = np.arange(90, dtype=np.uint8).reshape(2, 45)
    assert view_of(values, Layout(45, 0, 0)) is values
    assert view_of(np.ones((2, 3000), np.uint8), Layout(3000, 0, 0)).shape == (2, MAX_SIDE**2)
