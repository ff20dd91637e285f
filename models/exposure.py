"""Exposure: a net that tells inputs as they come from inputs that something was done to.

It is shown inputs of a reference, moved, lit and stored as pipelines and cameras do, and the same
with a move of a search on top. What it learns of noise, patches and gratings holds for others:
its outcome is only ranked among those of benign inputs, so no more depends on the moves.

References
----------
Hendrycks, Mazeika, Dietterich. Deep anomaly detection with outlier exposure. ICLR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.device import one_thread
from models.moves import MOVES
from models.variations import Motion, to_bytes, vary

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from models.encoder import Encoder
    from models.layout import Layout

HIDDEN = 32
#: Inputs of either sort, and steps of training.
ROWS, STEPS, BATCH_ROWS = 8000, 2000, 128
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-3
#: Least and largest size of a move, in shades.
SIZES = (8.0, 60.0)
#: Steps that stored shades are rounded to; 1 leaves them alone.
_STORED = (1.0, 1.0, 4.0, 8.0, 12.0)
_REACH = 1.5
_CHUNK = 1024
_BYTE = 255.0


class Exposure(NamedTuple):
    """Weights for sketches in bytes: (s, h), (h,) and (h,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    out: NDArray[np.float64]


def train_exposure(encoder: Encoder, x: NDArray[np.uint8], seed: int) -> Exposure:
    """Train on reduced inputs (n, elements), of which no tail is to be calibrated later."""
    rng = np.random.default_rng([seed, 4])
    plain, touched = [], []
    with one_thread():
        for _ in range(0, ROWS, _CHUNK):
            handled = as_handled(x[rng.integers(0, len(x), _CHUNK)], encoder.layout, rng)
            plain.append(encoder.see(handled).sketch)
            touched.append(encoder.see(as_touched(handled, encoder.layout, rng)).sketch)
        return _train(np.concatenate(plain), np.concatenate(touched), seed)


def as_handled(x: NDArray[np.uint8], layout: Layout, rng: Generator) -> NDArray[np.uint8]:
    """Return inputs as they come: half of them moved, lit or noisy, some stored coarsely."""
    reach = _REACH * rng.random((len(x), 1)) * (rng.random((len(x), 1)) < 0.5)
    moved = vary(x, layout, Motion(reach * Motion.at_random(len(x), rng).where), rng)
    step = rng.choice(_STORED, (len(x), 1))
    return to_bytes(np.rint(np.where(reach > 0, moved, x) / step) * step)


def as_touched(x: NDArray[np.uint8], layout: Layout, rng: Generator) -> NDArray[np.uint8]:
    """Return inputs with a move of a search on each: as it is, or the signs of it."""
    moves = list(MOVES.values())
    changes = np.stack([moves[int(rng.integers(len(moves)))](layout, rng) for _ in x])
    signed = rng.random((len(x), 1)) < 0.5
    low, high = np.log(SIZES)
    size = np.exp(rng.uniform(low, high, (len(x), 1)))
    return to_bytes(x + size * np.where(signed, np.sign(changes), changes))


def _train(plain: NDArray[np.uint8], touched: NDArray[np.uint8], seed: int) -> Exposure:
    inputs = torch.from_numpy(np.concatenate([plain, touched])).float().div_(_BYTE)
    wanted = torch.cat([torch.zeros(len(plain)), torch.ones(len(touched))])
    mean = inputs[: len(plain)].mean(dim=0)
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        rows = torch.randint(0, len(inputs), (2 * BATCH_ROWS,), generator=generator)
        optimiser.zero_grad()
        outcome = net(inputs[rows] - mean)[:, 0]
        functional.binary_cross_entropy_with_logits(outcome, wanted[rows]).backward()  # type: ignore[no-untyped-call]  # torch is
        optimiser.step()
    weight = layers[0].weight.detach().double().T
    bias = layers[0].bias.detach().double() - mean.double() @ weight
    out = layers[1].weight.detach().double()[0]
    return Exposure((weight / _BYTE).numpy(), bias.numpy(), out.numpy())
