"""The exposure net tells what something was done to from what merely moved."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits

from detectors.query.exposure import exposure_scores, round_exposure
from models.encoder import Encoder
from models.exposure import Exposure, as_handled, as_touched, train_exposure
from models.layout import Layout

DIGITS = np.rint(load_digits(return_X_y=True)[0] * 15.9375).astype(np.uint8).reshape(-1, 8, 8)
LABELS = load_digits(return_X_y=True)[1]
LEARNT, OTHERS = DIGITS[:400], DIGITS[400:1000]


@cache
def encoder() -> Encoder:
    return Encoder.fit(LEARNT, np.eye(10, dtype=np.float32)[LABELS[:400]])


@cache
def net() -> Exposure:
    return train_exposure(encoder(), encoder().reduce(LEARNT), seed=0)


def scores(x: np.ndarray) -> np.ndarray:
    sketch = encoder().see(encoder().reduce(x)).sketch
    return exposure_scores(round_exposure(*net()), sketch)


def grating(x: np.ndarray) -> np.ndarray:
    return x + 30.0 * (np.indices(x.shape[1:]).sum(axis=0) % 2)


def fading(x: np.ndarray) -> np.ndarray:
    return 0.5 * x + 50


def salt(x: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(1).random(x.shape) < 0.1, 255, x)


@pytest.mark.parametrize("done", [grating, fading, salt])
def test_what_it_was_never_shown_is_told_from_what_moved(done: object) -> None:
    changed = np.clip(np.rint(done(OTHERS)), 0, 255).astype(np.uint8)  # type: ignore[operator]
    flat = encoder().reduce(OTHERS)
    moved = as_handled(flat, encoder().layout, np.random.default_rng(0)).reshape(OTHERS.shape)
    limit = np.quantile(scores(moved), 0.98)
    assert (scores(changed) > limit).mean() > 0.6
    assert (scores(OTHERS) > limit).mean() < 0.02


def test_training_again_gives_the_same_bits() -> None:
    again = train_exposure(encoder(), encoder().reduce(LEARNT), seed=0)
    for one, other in zip(net(), again, strict=True):
        assert one.tobytes() == other.tobytes()


def test_integers_say_what_the_net_says() -> None:
    sketch = encoder().see(encoder().reduce(OTHERS)).sketch
    hidden = np.maximum(sketch @ net().weight + net().bias, 0)
    wanted = 1024 * (hidden @ net().out)
    rounded = exposure_scores(round_exposure(*net()), sketch)
    assert np.abs(rounded - wanted).max() < 0.01 * wanted.std()


@pytest.mark.parametrize("layout", [Layout(6, 9, 3), Layout(7, 0, 0)])
def test_images_in_colour_and_vectors_are_handled_and_touched_too(layout: Layout) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(60, 200, (50, layout.elements)).astype(np.uint8)
    assert as_handled(x, layout, rng).shape == x.shape
    touched = as_touched(x, layout, rng)
    assert ((touched != x).any(axis=1)).all()
