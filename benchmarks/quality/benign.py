"""Benign clients of every kind that is known to look odd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Kind = Callable[["Pool", Generator, int], NDArray[np.uint8]]

COPIES = 8


class Pool:
    """Images of benign clients, with the classes that the model answers."""

    def __init__(self, victim: Victim) -> None:
        self.x = victim.benign
        self.label = victim.labels(victim.benign)
        self.classes = np.unique(self.label)

    def take(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return some images."""
        return np.asarray(self.x[rows], np.uint8)


def independent(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Draw from everything."""
    return pool.take(rng.integers(0, len(pool.x), queries))


def skewed(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Draw with a strong taste for some classes."""
    taste = rng.dirichlet([0.3] * len(pool.classes))
    wanted = rng.choice(pool.classes, queries, p=taste)
    rows = [int(rng.choice(np.flatnonzero(pool.label == label))) for label in wanted.tolist()]
    return pool.take(np.array(rows))


def one_class(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Draw from one class alone."""
    label = int(rng.choice(pool.classes))
    return pool.take(rng.choice(np.flatnonzero(pool.label == label), queries))


def retrying(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Send a fifth of the images once more."""
    rows = rng.integers(0, len(pool.x), queries)
    for at in np.flatnonzero(rng.random(queries) < 0.2).tolist():
        rows[at] = rows[max(0, at - 1)]
    return pool.take(rows)


def augmenting(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Ask for shifted, brighter and darker copies of each image, and average (TTA)."""
    rows = np.repeat(rng.integers(0, len(pool.x), -(-queries // COPIES)), COPIES)[:queries]
    parts = [
        vary(pool.x[row], rng, shift=pool.x.shape[1] // 12, gain=0.2) if n % COPIES else pool.x[row]
        for n, row in enumerate(rows.tolist())
    ]
    return np.stack(parts)


def filming(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Watch a scene that moves and brightens slowly, and changes now and then."""
    frames: list[NDArray[np.uint8]] = []
    while len(frames) < queries:
        scene = pool.x[int(rng.integers(len(pool.x)))].astype(np.float64)
        at, light, unit = np.zeros(2), 1.0, pool.x.shape[1] / 28
        for _ in range(int(rng.integers(20, 60))):
            at = np.clip(at + rng.normal(0, 0.25 * unit, 2), -3 * unit, 3 * unit)
            light = float(np.clip(light + rng.normal(0, 0.02), 0.6, 1.2))
            moved = shifted(scene, at) * light + rng.normal(0, 1.0, scene.shape)
            frames.append(np.clip(np.rint(moved), 0, 255).astype(np.uint8))
    return np.stack(frames[:queries])


def uploading(pool: Pool, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Upload a small batch again and again, compressed anew each time."""
    batch = pool.x[rng.integers(0, len(pool.x), int(rng.integers(8, 40)))].astype(np.float64)
    rounds = []
    for _ in range(-(-queries // len(batch))):
        step = float(rng.choice((4, 8, 12)))
        rounds.append(np.clip(np.rint(np.rint(batch / step) * step), 0, 255).astype(np.uint8))
        batch = batch[rng.permutation(len(batch))]
    return np.concatenate(rounds)[:queries]


BENIGN: dict[str, Kind] = {
    "independent": independent,
    "skewed": skewed,
    "retry": retrying,
    "one class": one_class,
    "TTA": augmenting,
    "video": filming,
    "re-upload": uploading,
}
#: Kinds whose queries are not independent of each other.
CORRELATED = ("TTA", "video", "re-upload")
#: Kinds of which so few may be flagged that many are needed to tell.
PLENTIFUL = ("independent", "skewed", "retry")


def vary(image: NDArray[np.uint8], rng: Generator, *, shift: int, gain: float) -> NDArray[np.uint8]:
    """Shift an image by whole pixels and change its brightness."""
    down, right = rng.integers(-shift, shift + 1, 2).tolist()
    moved = shifted(image.astype(np.float64), np.array([down, right]))
    return np.clip(np.rint(moved * rng.uniform(1 - gain, 1 + gain)), 0, 255).astype(np.uint8)


def shifted(image: NDArray[np.float64], at: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shift an image by any distance, edges repeated, between pixels linearly."""
    for axis, distance in enumerate(at.tolist()):
        image = _along(image, distance, axis)
    return image


def _along(image: NDArray[np.float64], distance: float, axis: int) -> NDArray[np.float64]:
    size = image.shape[axis]
    position = np.clip(np.arange(size) - distance, 0, size - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, size - 1)
    weight = (position - low).reshape((-1, 1) if axis == 0 else (1, -1))
    moved: NDArray[np.float64] = (1 - weight) * image.take(low, axis) + weight * image.take(
        high, axis
    )
    return moved
