"""The served model of the benchmark: ten classes of 28 x 28 images, and a small classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 28
CLASSES = 10
_ENLARGED = 3
_MAX_SHIFT = 2
_NOISE_SPREAD = 6.0


class DigitsModel:
    """Answers with class probabilities; the same for each seed."""

    def __init__(self, *, seed: int = 0) -> None:
        digits, labels = load_digits(return_X_y=True)
        self._digits = digits.reshape(-1, 8, 8)
        rng = np.random.default_rng(seed)
        rows = np.arange(len(labels))
        classifier = LogisticRegression(max_iter=300, tol=0.05)
        self._classifier = classifier.fit(_flat(self._pictures(rows, rng)), labels)

    def benign(self, count: int, *, seed: int) -> NDArray[np.uint8]:
        """Return ``count`` pictures as ordinary clients send them."""
        rng = np.random.default_rng(seed)
        return self._pictures(rng.integers(0, len(self._digits), count), rng)

    def noise(self, count: int, *, seed: int) -> NDArray[np.uint8]:
        """Return ``count`` pictures of uniform noise, which no ordinary client sends."""
        return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)

    def scores(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return class probabilities (n, 10)."""
        return np.asarray(self._classifier.predict_proba(_flat(pictures)), np.float32)

    def _pictures(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Enlarge digits, shift them a little and add sensor noise."""
        enlarged = np.kron(self._digits[rows] * 15.9375, np.ones((1, _ENLARGED, _ENLARGED)))
        margin = (SIDE - enlarged.shape[1]) // 2
        framed = np.pad(enlarged, ((0, 0), (margin, margin), (margin, margin)))
        down, right = rng.integers(-_MAX_SHIFT, _MAX_SHIFT + 1, (2, len(rows), 1, 1))
        at = np.arange(SIDE)
        shifted = framed[
            np.arange(len(rows))[:, None, None],
            (at[None, :, None] - down) % SIDE,
            (at[None, None, :] - right) % SIDE,
        ]
        noisy = shifted + rng.normal(0.0, _NOISE_SPREAD, shifted.shape)
        pictures: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return pictures


def _flat(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (pictures.reshape(len(pictures), -1) / 255.0).astype(np.float32)
