"""Seeded streams for tests: benign clients, attackers, and every way to cut them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import FIXED_POINT_ONE, Batch
from detectors.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SKETCH = 49
EMBEDDING = 32
CLASSES = 4
START_US = 1_790_000_000_000_000


@dataclass(frozen=True, slots=True)
class World:
    """A made-up model: classes are blobs; embeddings are random projections of sketches.

    Examples
    --------
    >>> world = World.make(seed=1)
    >>> world.inputs(np.random.default_rng(0), np.array([0, 1])).shape
    (2, 49)
    """

    centres: NDArray[np.float64]
    basis: NDArray[np.float64]
    projection: NDArray[np.float64]

    @classmethod
    def make(cls, seed: int = 0) -> World:
        """Draw a world."""
        rng = np.random.default_rng(seed)
        return cls(
            rng.uniform(60, 190, (CLASSES, SKETCH)),
            rng.normal(0, 14, (CLASSES, 12, SKETCH)),
            rng.normal(0, 1, (SKETCH, EMBEDDING)),
        )

    def inputs(self, rng: np.random.Generator, label: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Draw benign inputs of given classes."""
        factors = rng.normal(0, 1, (len(label), 1, 12))
        values = self.centres[label] + (factors @ self.basis[label])[:, 0]
        return np.clip(values + rng.normal(0, 2, values.shape), 0, 255).astype(np.uint8)

    def embed(self, sketch: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Embed inputs."""
        values = (sketch.astype(np.float64) - 125) @ self.projection / 12
        return np.clip(np.rint(values), -127, 127).astype(np.int8)

    def classify(self, sketch: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return labels and fixed-point margins."""
        d2 = ((sketch[:, None].astype(np.float64) - self.centres) ** 2).sum(axis=2)
        ordered = np.sort(d2, axis=1)
        margin = (ordered[:, 1] - ordered[:, 0]) / ordered[:, 1]
        fixed = np.rint(margin * FIXED_POINT_ONE).astype(np.int32)
        return d2.argmin(axis=1).astype(np.int32), fixed

    def calibration(self, rows: int, seed: int = 100) -> Calibration:
        """Draw benign samples."""
        rng = np.random.default_rng(seed)
        sketch = self.inputs(rng, rng.integers(0, CLASSES, rows).astype(np.int32))
        label, margin = self.classify(sketch)
        return Calibration(
            sketch=sketch,
            embedding=self.embed(sketch),
            label=label,
            confidence=np.maximum(margin, FIXED_POINT_ONE // 2),
            margin=margin,
            grain=np.zeros(rows, np.int32),
            view=sketch,
        )

    def batch(
        self,
        sketch: NDArray[np.uint8],
        client: NDArray[np.int32],
        *,
        gap_us: int = 20_000,
        payload: NDArray[np.uint64] | None = None,
    ) -> Batch:
        """Send inputs, evenly spaced in time."""
        rows = len(sketch)
        label, margin = self.classify(sketch)
        time_us = START_US + np.arange(rows, dtype=np.int64) * gap_us
        unknown = np.full(rows, -1, np.int32)
        return Batch(
            model="toy",
            first_row=0,
            clients=tuple(f"client-{index}" for index in range(int(client.max()) + 1)),
            time_us=time_us,
            watermark_us=time_us,
            client=client.astype(np.int32),
            label=label,
            confidence=np.maximum(margin, FIXED_POINT_ONE // 2),
            margin=margin,
            entropy=FIXED_POINT_ONE - np.minimum(margin, FIXED_POINT_ONE),
            log_odds=margin,
            status=np.full(rows, 200, np.int16),
            input_tokens=unknown,
            output_tokens=unknown.copy(),
            payload_hash=np.arange(1, rows + 1, dtype=np.uint64) if payload is None else payload,
            scanned=np.ones(rows, np.bool_),
            sketch=sketch,
            embedding=self.embed(sketch),
            grain=np.zeros(rows, np.int32),
            view=sketch,
            interaction_id=lambda row: f"i-{row}",
        )

    def benign(self, rows: int, clients: int, seed: int, gap_us: int = 20_000) -> Batch:
        """Send independent inputs from random clients."""
        rng = np.random.default_rng(seed)
        sketch = self.inputs(rng, rng.integers(0, CLASSES, rows).astype(np.int32))
        client = rng.integers(0, clients, rows).astype(np.int32)
        return self.batch(sketch, client, gap_us=gap_us)


def cut_into(batch: Batch, sizes: Sequence[int] | int) -> list[Batch]:
    """Cut a batch into batches of the given sizes, the last one repeated."""
    wanted = [sizes] if isinstance(sizes, int) else list(sizes)
    parts, start = [], 0
    while start < len(batch):
        size = wanted.pop(0) if len(wanted) > 1 else wanted[0]
        parts.append(batch.cut(start, min(len(batch), start + size)))
        start += size
    return parts
