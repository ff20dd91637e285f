"""A digits classifier in this process, and the pictures that nobody trained it on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from streams.demo.attacks.target import to_shades

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAINED = 700


@dataclass(frozen=True)
class Victim:
    """A classifier, its held-out pictures and what it answers for them."""

    net: MLPClassifier
    pictures: NDArray[np.float32]
    truth: NDArray[np.int64]

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = np.asarray(images, np.float32).reshape(len(images), -1)
        return np.asarray(self.net.predict_proba(flat), np.float32)

    async def ask(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.scores(images)

    def sure(self, confidence: float) -> NDArray[np.intp]:
        """Held-out pictures that are classified rightly and with confidence."""
        scores = self.scores(self.pictures)
        return np.flatnonzero(
            (scores.argmax(axis=1) == self.truth) & (scores.max(axis=1) > confidence)
        )


@cache
def victim() -> Victim:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    net = MLPClassifier((64,), random_state=0, learning_rate_init=5e-3, tol=1e-3, max_iter=200)
    net.fit(images[:TRAINED], labels[:TRAINED])
    return Victim(net, to_shades(images[TRAINED:].reshape(-1, 8, 8)), labels[TRAINED:])
