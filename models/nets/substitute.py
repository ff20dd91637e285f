"""A substitute: what an extraction attacker trains on the answers of somebody else's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEARNING_RATE = 3e-3
BATCH_ROWS = 64


class Substitute:
    """A small perceptron that learns the probabilities which another model answered.

    Parameters
    ----------
    pixels, classes
        Sizes of input and answer.
    seed
        Of the weights and of the order of training.
    hidden
        Width of the two hidden layers.
    """

    def __init__(self, pixels: int, classes: int, *, seed: int = 0, hidden: int = 128) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        layers = [nn.Linear(pixels, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, classes)]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=self._generator)
            nn.init.zeros_(layer.bias)
        self._net = nn.Sequential(
            layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.LogSoftmax(dim=1)
        )
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=LEARNING_RATE)

    def fit(self, images: NDArray[np.float32], scores: NDArray[np.float32], *, epochs: int) -> None:
        """Go on training on images within [0, 1] and the probabilities answered for them."""
        x, y = _rows(images), torch.from_numpy(np.ascontiguousarray(scores, np.float32))
        for _ in range(epochs):
            order = torch.randperm(len(x), generator=self._generator)
            for start in range(0, len(x), BATCH_ROWS):
                rows = order[start : start + BATCH_ROWS]
                self._optimiser.zero_grad()
                loss = -(y[rows] * self._net(x[rows])).sum(dim=1).mean()
                loss.backward()
                self._optimiser.step()

    def labels(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class of each image."""
        with torch.no_grad():
            found: NDArray[np.int64] = self._net(_rows(images)).argmax(dim=1).numpy()
        return found

    def gradient_signs(
        self, images: NDArray[np.float32], labels: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return the sign of the derivative of each image's own class, shaped as the images."""
        x = _rows(images).requires_grad_()
        chosen = torch.from_numpy(np.asarray(labels, np.int64))
        answers = self._net(x).gather(1, chosen[:, None])
        (slope,) = torch.autograd.grad(answers.sum(), x)
        signs: NDArray[np.float32] = slope.sign().numpy().reshape(images.shape)
        return signs


def _rows(images: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images, np.float32)).flatten(1)
