"""Served models of the evaluation, and who holds which of their data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.nn import functional

from models.device import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Images = "NDArray[np.uint8]"
#: Data that is handed out beside the project, see its README; absent elsewhere.
DATA = Path(__file__).parents[3] / "shared" / "data"
_TRAINED = 24_000
_BATCH = 128
_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Victim:
    """A served model.

    Attributes
    ----------
    scores
        Answers uint8 images (n, h, w) with probabilities (n, classes).
    members
        Images that the model was trained on.
    reference
        Benign images for calibration.
    benign
        Images of benign clients.
    hostile
        Images that attackers start from.
    similar
        Images of the same domain from elsewhere, for extraction.
    """

    name: str
    scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    members: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    benign: NDArray[np.uint8]
    hostile: NDArray[np.uint8]
    similar: NDArray[np.uint8]

    def labels(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the answered classes."""
        return np.asarray(self.scores(x).argmax(axis=1), np.int64)


def digits_victim(seed: int = 0) -> Victim:
    """Train a perceptron on the digits that come with scikit-learn."""
    x = _digits()
    y = load_digits(return_X_y=True)[1]
    order = np.random.default_rng(seed).permutation(len(x))
    members, reference, benign, hostile = np.split(order, [500, 1100, 1600])
    net = MLPClassifier((64,), random_state=seed, max_iter=150, tol=1e-3)
    net.fit(x[members].reshape(len(members), -1) / 255.0, y[members])

    def scores(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = images.reshape(len(images), -1) / 255.0
        return np.asarray(net.predict_proba(flat), np.float32)

    similar = np.roll(x[hostile], 1, axis=2)
    return Victim("digits", scores, x[members], x[reference], x[benign], x[hostile], similar)


def mnist_victim(seed: int = 0) -> Victim | None:
    """Train a small convolutional net on MNIST; None where the data is absent."""
    files = [DATA / "images" / f"mnist_{part}.npz" for part in ("train", "test")]
    if not all(path.exists() for path in files):
        return None
    train, test = (np.load(path, allow_pickle=False) for path in files)
    x, y = train["x"][:_TRAINED], train["y"][:_TRAINED].astype(np.int64)
    net = _train(x, y, seed)

    def scores(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), _CHUNK):
                given = torch.from_numpy(np.ascontiguousarray(images[start : start + _CHUNK]))
                parts.append(torch.softmax(net(given[:, None].float() / 255.0), dim=1).numpy())
        return np.concatenate([*parts, np.zeros((0, 10), np.float32)])

    enlarged = _enlarge(_digits(), 28)
    return Victim("mnist", scores, x, test["x"][:5000], test["x"][5000:9000],
                  test["x"][9000:], enlarged)  # fmt: skip


def _digits() -> NDArray[np.uint8]:
    images = load_digits(return_X_y=True)[0]
    return np.asarray(np.rint(images * 15.9375), np.uint8).reshape(-1, 8, 8)


def _enlarge(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Enlarge by bilinear interpolation."""
    given = torch.from_numpy(images)[:, None].float()
    larger = functional.interpolate(given, (side - 4, side - 4), mode="bilinear")
    framed = functional.pad(larger, (2, 2, 2, 2)).round().clamp(0, 255)[:, 0]
    return np.asarray(framed.to(torch.uint8).numpy(), np.uint8)


def _train(x: NDArray[np.uint8], y: NDArray[np.int64], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(800, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    given, wanted = torch.from_numpy(x)[:, None].float() / 255.0, torch.from_numpy(y)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    with one_thread():
        for _ in range(3):
            for rows in torch.randperm(len(x)).split(_BATCH):  # type: ignore[no-untyped-call]
                optimiser.zero_grad()
                functional.cross_entropy(net(given[rows]), wanted[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    return net.eval()
