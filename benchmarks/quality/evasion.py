"""Query-based evasion, compactly: each attack searches round one image until it is misread.

References
----------
Chen, Jordan, Wainwright, HopSkipJumpAttack, 2020. Andriushchenko et al., Square Attack, 2020. Guo
et al., Simple Black-box Adversarial Attacks, 2019. Brendel, Rauber, Bethge, Decision-Based
Adversarial Attacks, 2018. Ilyas et al., Black-box Adversarial Attacks with Limited Queries, 2018.
Chen and Gu, RayS, 2020. Feng et al., OARS, 2023 (the noise search).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.oracle import Oracle, Spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Image = NDArray[np.float64]
    Attack = Callable[[Oracle, Image, Image, Generator], None]

#: Budgets, pixels in [0, 1]: L2 per root of a pixel for the minimising attacks, and Linf.
RMS = 0.1
LINF = 0.2


def hop_skip_jump(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:
    """Walk along the boundary from an image of another class."""
    label = int(oracle.labels(x[None])[0])
    current = _bisect(oracle, x, other, label)
    for step in range(1, 40):
        distance = float(np.linalg.norm(current - x))
        radius = 0.1 * np.sqrt(x.size) if step == 1 else max(0.02 * distance, 0.02)
        probes = rng.standard_normal((int(50 * np.sqrt(step)), *x.shape))
        probes /= np.linalg.norm(probes.reshape(len(probes), -1), axis=1)[:, None, None]
        asked = np.clip(current + radius * probes, 0, 1)
        outside = np.where(oracle.labels(asked) != label, 1.0, -1.0)
        outside -= outside.mean() if abs(outside.mean()) < 1 else 0.0
        direction = (outside[:, None, None] * probes).mean(axis=0)
        direction /= np.linalg.norm(direction) + 1e-12
        length = distance / np.sqrt(step)
        while length > 1e-3:
            moved = np.clip(current + length * direction, 0, 1)
            if oracle.labels(moved[None])[0] != label:
                current = _bisect(oracle, x, moved, label)
                break
            length /= 2
        _judge_l2(oracle, x, current)


def boundary(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:
    """Stay on the boundary by a random walk that is drawn to the original."""
    label = int(oracle.labels(x[None])[0])
    current = _bisect(oracle, x, other, label)
    spherical, towards = 0.1, 0.1
    while True:
        distance = np.linalg.norm(current - x)
        noise = rng.standard_normal(x.shape)
        noise *= spherical * distance / np.linalg.norm(noise)
        candidate = current + noise
        candidate = x + (candidate - x) * distance / np.linalg.norm(candidate - x)
        candidate = np.clip(candidate + towards * (x - candidate), 0, 1)
        if oracle.labels(candidate[None])[0] != label:
            current = candidate
            spherical, towards = min(spherical * 1.1, 0.3), min(towards * 1.1, 0.3)
        else:
            spherical, towards = spherical * 0.95, towards * 0.9
        _judge_l2(oracle, x, current)


def square(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:  # noqa: ARG001
    """Keep random squares that lower the margin."""
    label, best = _start(oracle, x, x + LINF * rng.choice((-1, 1), (1, x.shape[1])))
    margin = _margin(oracle, best, label)
    for iteration in range(4000):
        share = 0.8 / 2 ** sum(iteration > at for at in (2, 10, 40, 100, 200, 400, 800))
        side = max(1, min(round(np.sqrt(share * x.size)), x.shape[0] - 1))
        top, left = rng.integers(0, x.shape[0] - side + 1, 2)
        window = (slice(top, top + side), slice(left, left + side))
        candidate = best.copy()
        candidate[window] = np.clip(x[window] + rng.choice((-LINF, LINF)), 0, 1)
        found = _margin(oracle, candidate, label)
        if found < margin:
            best, margin = candidate, found


def simba_pixel(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:  # noqa: ARG001
    """Keep changes of single pixels that lower the confidence."""
    basis = np.eye(x.size)[rng.permutation(x.size)].reshape(-1, *x.shape)
    _simba(oracle, x, basis, 0.25)


def simba_dct(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:  # noqa: ARG001
    """Keep low-frequency changes that lower the confidence."""
    side = x.shape[0]
    at = np.arange(side)
    cosines = np.cos(np.pi * (at[:, None] + 0.5) * at[None] / side)
    cosines /= np.linalg.norm(cosines, axis=0)
    kept = max(4, side // 3)
    pairs = rng.permutation([(a, b) for a in range(kept) for b in range(kept)])
    basis = np.stack([np.outer(cosines[:, a], cosines[:, b]) for a, b in pairs])
    _simba(oracle, x, basis, 1.0)


def natural_evolution(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:  # noqa: ARG001
    """Estimate gradients of the margin from pairs of noisy images."""
    label, best = _start(oracle, x, x)
    for _ in range(200):
        noise = rng.standard_normal((10, *x.shape))
        pairs = np.concatenate([noise, -noise])
        margins = _margins(oracle.ask(np.clip(best + 0.05 * pairs, 0, 1)), label)
        gradient = (margins[:, None, None] * pairs).mean(axis=0)
        best = np.clip(x + np.clip(best - 0.04 * np.sign(gradient) - x, -LINF, LINF), 0, 1)
        if oracle.labels(best[None])[0] != label:
            oracle.succeed()


def rays(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:  # noqa: ARG001
    """Search the nearest boundary along sign directions, flipping ever smaller blocks."""
    label = int(oracle.labels(x[None])[0])
    direction, radius = np.ones(x.size), np.inf
    for level in range(10):
        blocks = min(2**level, x.size)
        for block in np.array_split(np.arange(x.size), blocks):
            trial = direction.copy()
            trial[block] *= -1
            found = _ray(oracle, x, trial.reshape(x.shape), label, min(radius, 1.0))
            if found is not None and found < radius:
                direction, radius = trial, found
            if radius <= LINF:
                oracle.succeed()


def noise_search(oracle: Oracle, x: Image, other: Image, rng: Generator) -> None:
    """Find the noise that a similarity detector may miss, then attack under its cover."""
    label = int(oracle.labels(x[None])[0])
    sigma = float(rng.choice((0.05, 0.1, 0.2, 0.3)))
    for scale in np.linspace(0.01, sigma, 10):
        oracle.labels(np.clip(x + scale * rng.standard_normal((4, *x.shape)), 0, 1))
    current = _bisect(oracle, x, other, label)
    while True:
        probes = rng.standard_normal((30, *x.shape))
        outside = oracle.labels(np.clip(current + sigma * probes, 0, 1)) != label
        weight = np.where(outside, 1.0, -1.0)[:, None, None]
        direction = (weight * probes).mean(axis=0)
        moved = np.clip(current + direction / np.linalg.norm(direction), 0, 1)
        if oracle.labels(moved[None])[0] != label:
            current = _bisect(oracle, x, moved, label)
        _judge_l2(oracle, x, current)


EVASION: dict[str, Attack] = {
    "HopSkipJump": hop_skip_jump,
    "Boundary": boundary,
    "Square": square,
    "SimBA pixels": simba_pixel,
    "SimBA DCT": simba_dct,
    "NES": natural_evolution,
    "RayS": rays,
    "noise search": noise_search,
}


def attack(
    victim: Victim, name: str, seed: int, max_queries: int
) -> tuple[NDArray[np.uint8], int | None]:
    """Run an attack on a random image; return its queries, and at which one it succeeded."""
    rng = np.random.default_rng([seed, len(name)])
    images = victim.hostile
    labels = victim.labels(images)
    at = int(rng.integers(len(images)))
    other = int(rng.choice(np.flatnonzero(labels != labels[at])))
    oracle = Oracle(victim.scores, max_queries)
    with suppress(Spent):
        EVASION[name](oracle, images[at] / 255.0, images[other] / 255.0, rng)
    return oracle.asked, oracle.success_at


def _bisect(oracle: Oracle, inside: Image, outside: Image, label: int) -> Image:
    low, high = 0.0, 1.0
    while high - low > 0.02:
        middle = (low + high) / 2
        blend = (1 - middle) * inside + middle * outside
        if oracle.labels(blend[None])[0] != label:
            high = middle
        else:
            low = middle
    return (1 - high) * inside + high * outside


def _ray(oracle: Oracle, x: Image, direction: Image, label: int, limit: float) -> float | None:
    if oracle.labels(np.clip(x + limit * direction, 0, 1)[None])[0] == label:
        return None
    low, high = 0.0, limit
    while high - low > 0.01:
        middle = (low + high) / 2
        if oracle.labels(np.clip(x + middle * direction, 0, 1)[None])[0] != label:
            high = middle
        else:
            low = middle
    return high


def _simba(oracle: Oracle, x: Image, basis: NDArray[np.float64], step: float) -> None:
    label, best = _start(oracle, x, x)
    margin = _margin(oracle, best, label)
    for change in basis:
        for sign in (1.0, -1.0):
            candidate = np.clip(best + sign * step * change, 0, 1)
            found = _margin(oracle, candidate, label)
            if found < margin:
                best, margin = candidate, found
                break


def _start(oracle: Oracle, x: Image, first: Image) -> tuple[int, Image]:
    return int(oracle.labels(x[None])[0]), np.clip(first, 0, 1)


def _margins(scores: NDArray[np.float32], label: int) -> NDArray[np.float64]:
    logs = np.log(np.maximum(scores.astype(np.float64), 1e-12))
    margins: NDArray[np.float64] = logs[:, label] - np.delete(logs, label, axis=1).max(axis=1)
    return margins


def _margin(oracle: Oracle, x: Image, label: int) -> float:
    found = float(_margins(oracle.ask(x[None]), label)[0])
    if found < 0:
        oracle.succeed()
    return found


def _judge_l2(oracle: Oracle, x: Image, current: Image) -> None:
    if float(np.linalg.norm(current - x)) <= RMS * np.sqrt(x.size):
        oracle.succeed()
