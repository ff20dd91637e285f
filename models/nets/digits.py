"""A small classifier of scikit-learn's bundled digits, for the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from models.device import one_thread
from models.nets.sequential import Layer, Linear, ReLU, build
from models.registry import Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

LAYERS: tuple[Layer, ...] = (Linear(64, 96), ReLU(), Linear(96, 48), ReLU(), Linear(48, 10))
EPOCHS, BATCH_ROWS, LEARNING_RATE = 40, 64, 3e-3
TRAINING_ROWS = 1200


def digits_architecture(version: str = "1") -> Architecture:
    """Return the description of the digits model."""
    return Architecture(
        name="digits", version=version, input_shape=(64,), layers=LAYERS, input_scale=1 / 255
    )


def digits_data(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return inputs uint8 (1797, 64), classes, and how many of the first rows are for training."""
    bunch = load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.data))
    x = np.clip(np.rint(bunch.data[order] * (255 / 16)), 0, 255).astype(np.uint8)
    return x, bunch.target[order].astype(np.int64), TRAINING_ROWS


def train_digits(seed: int = 0, rows: int = TRAINING_ROWS) -> tuple[nn.Module, float]:
    """Train the classifier on the first rows; return it with its accuracy on the others."""
    x, y, _ = digits_data(seed)
    inputs, classes = torch.from_numpy(x).float() / 255, torch.from_numpy(y)
    generator = torch.Generator().manual_seed(seed)
    module = build(LAYERS)
    for parameter in module.parameters():
        bound = 0.0 if parameter.dim() == 1 else (6 / parameter.shape[1]) ** 0.5
        torch.nn.init.uniform_(parameter, -bound, bound, generator=generator)
    with one_thread():
        _fit(module, inputs[:rows], classes[:rows], generator)
    with torch.no_grad():
        right = module(inputs[rows:]).argmax(dim=1) == classes[rows:]
    return module.eval(), float(right.float().mean())


def _fit(
    module: nn.Module, inputs: torch.Tensor, classes: torch.Tensor, generator: torch.Generator
) -> None:
    optimiser = torch.optim.Adam(module.parameters(), LEARNING_RATE)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=generator)
        for rows in torch.split(order, BATCH_ROWS):
            optimiser.zero_grad()
            loss = functional.cross_entropy(module(inputs[rows]), classes[rows])
            loss.backward()  # type: ignore[no-untyped-call]  # torch is
            optimiser.step()
