"""A student: a small perceptron that learns a served model from its answers alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.device import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HIDDEN = 128
EMBEDDING = 64
BATCH_ROWS = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
#: Rows seen in training, whatever the size of the reference.
TRAINING_ROWS = 250_000
MAX_EPOCHS = 60


class Student(NamedTuple):
    """Weights of a net for inputs that are bytes; its first two layers make the embedding."""

    hidden_weight: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    head_weight: NDArray[np.float64]
    head_bias: NDArray[np.float64]
    agreement: float

    def logits(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Answer reduced inputs (n, elements) in the served model's stead."""
        hidden = np.maximum(x @ self.hidden_weight + self.hidden_bias, 0.0)
        embedded = np.maximum(hidden @ self.weight + self.bias, 0.0)
        answers: NDArray[np.float64] = embedded @ self.head_weight + self.head_bias
        return answers


def train_student(
    x: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    *,
    seed: int,
    progress: Callable[[float], None],
) -> Student:
    """Distil a student from inputs (n, elements) and answers (n, classes).

    Training runs in one thread: the order of additions, and so the outcome, is that of the
    seed alone.
    """
    inputs = torch.from_numpy(np.ascontiguousarray(x)).float().div_(255.0)
    targets = torch.from_numpy(probabilities(scores))
    mean = inputs.mean(dim=0)
    generator = torch.Generator().manual_seed(seed)
    with one_thread():
        layers = _layers(inputs.shape[1], targets.shape[1], generator)
        net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        _train(net, inputs - mean, targets, generator, progress)
        with torch.no_grad():
            same = net(inputs - mean).argmax(dim=1) == targets.argmax(dim=1)
    first, second = (layer.weight.detach().double().T for layer in layers[:2])
    shifted = layers[0].bias.detach().double() - mean.double() @ first
    return Student(
        (first / 255.0).numpy(),
        shifted.numpy(),
        second.numpy(),
        layers[1].bias.detach().double().numpy(),
        layers[2].weight.detach().double().T.numpy(),
        layers[2].bias.detach().double().numpy(),
        float(same.float().mean()),
    )


def probabilities(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return answers as probabilities, taking rows that are none for logits."""
    values = np.asarray(scores, np.float64)
    are = (values.min(axis=1) >= -1e-6) & (np.abs(values.sum(axis=1) - 1.0) <= 1e-2)
    exponent = np.exp(values - values.max(axis=1, keepdims=True))
    softmax = exponent / exponent.sum(axis=1, keepdims=True)
    return np.where(are[:, None], np.clip(values, 0.0, 1.0), softmax).astype(np.float32)


def _layers(elements: int, classes: int, generator: torch.Generator) -> list[nn.Linear]:
    sizes = [elements, HIDDEN, EMBEDDING, classes]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    return layers


def _train(
    net: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
    progress: Callable[[float], None],
) -> None:
    batches = -(-len(inputs) // BATCH_ROWS)
    epochs = max(1, min(MAX_EPOCHS, TRAINING_ROWS // len(inputs)))
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=epochs * batches
    )
    for epoch in range(epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(BATCH_ROWS):  # type: ignore[no-untyped-call]  # torch is
            optimiser.zero_grad()
            functional.cross_entropy(net(inputs[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]  # torch is
            optimiser.step()
            schedule.step()
        progress((epoch + 1) / epochs)
