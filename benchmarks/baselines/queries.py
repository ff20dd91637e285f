"""Detectors of query streams, each judging one client's images alone.

References
----------
Li et al. Blacklight: scalable defense for neural networks against query-based black-box attacks.
USENIX Security 2022. Juuti et al. PRADA: protecting against DNN model stealing attacks. EuroS&P
2019. Chen, Carlini, Wagner. Stateful detection of black-box adversarial attacks. 2019 (pixel
distances in place of their trained encoder).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import shapiro

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Baseline = Callable[[NDArray[np.uint8]], int | None]

_WINDOW, _STEP, _KEPT = 20, 50, 50
_NEIGHBOURS = 50
_PRADA_DELTA, _PRADA_MINIMUM = 0.95, 100


def blacklight(x: NDArray[np.uint8]) -> int | None:
    """Return with which query more than half of the fingerprints match an earlier one."""
    salt = np.random.default_rng(0).integers(0, 256, x[0].size)
    seen: list[set[bytes]] = []
    for number, image in enumerate(x, start=1):
        values = (np.rint(((image.reshape(-1) + salt) % 256) / _STEP) * _STEP).astype(np.uint8)
        raw = values.tobytes()
        hashes = {
            hashlib.sha256(raw[at : at + _WINDOW]).digest()[::-1]
            for at in range(len(raw) - _WINDOW + 1)
        }
        top = set(sorted(hashes, reverse=True)[:_KEPT])
        if any(len(top & other) > len(top) / 2 for other in seen):
            return number
        seen.append(top)
    return None


def prada(victim: Victim) -> Baseline:
    """Watch whether minimum distances within answered classes stay normally distributed."""

    def watch(x: NDArray[np.uint8]) -> int | None:
        labels = victim.labels(x)
        flat = x.reshape(len(x), -1).astype(np.float64)
        grown: dict[int, list[int]] = {}
        minima: dict[int, list[float]] = {}
        distances: list[float] = []
        for row, label in enumerate(labels.tolist()):
            members = grown.setdefault(label, [])
            if not members:
                members.append(row)
                continue
            distance = float(np.sqrt(((flat[members] - flat[row]) ** 2).sum(axis=1)).min())
            distances.append(distance)
            mine = minima.setdefault(label, [])
            mine.append(distance)
            if distance > max(0.0, float(np.mean(mine) - np.std(mine))):
                members.append(row)
            if len(distances) >= _PRADA_MINIMUM and len(distances) % 10 == 0:
                sample = np.array(distances)
                near = np.abs(sample - sample.mean()) <= 3 * sample.std()
                if shapiro(sample[near]).statistic < _PRADA_DELTA:
                    return row + 1
        return None

    return watch


def stateful_knn(victim: Victim) -> Baseline:
    """Watch the mean distance to the 50 nearest of the client's queries."""
    flat = victim.reference.reshape(len(victim.reference), -1).astype(np.float32)[:1000]
    limit = float(np.quantile(_mean_nearest(flat, flat[:300]), 0.001))

    def watch(x: NDArray[np.uint8]) -> int | None:
        asked = x.reshape(len(x), -1).astype(np.float32)
        for row in range(_NEIGHBOURS + 1, len(asked)):
            if _mean_nearest(asked[:row], asked[row : row + 1])[0] <= limit:
                return row + 1
        return None

    return watch


def _mean_nearest(held: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    norms = (held**2).sum(axis=1)[None] + (new**2).sum(axis=1)[:, None]
    distance = np.sqrt(np.maximum(norms - 2 * new @ held.T, 0.0))
    nearest = np.partition(distance, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    return np.asarray(nearest.mean(axis=1), np.float64)
