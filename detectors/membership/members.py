"""Sketches of the training set, and how much nearer a query is to one member than to others.

A member, be it noisy, lies much nearer to itself than to its next neighbours; anything else is
about as near to several. Ratios of distances need no scale, so noise changes them little.

References
----------
Lowe. Distinctive image features from scale-invariant keypoints. IJCV 2004 (the ratio test).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.evidence import tail_thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.tables import State

#: The ratio is that of the nearest member to the one of this rank.
RANK = 4
#: Cells that are searched, members a cell holds on average, and most cells.
PROBES, CELL_MEMBERS, MAX_CELLS = 3, 160, 512
#: Members that tell what the ratio is for others of their kind.
MAX_NULL = 8000
RATIO_UNIT = 1 << 16
_FAR = np.float64(1 << 40)
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Members:
    """Members in cells of sketches that resemble each other.

    Attributes
    ----------
    sketch, embedding
        uint8 (m, s) and int8 (m, e), sorted by cell.
    centres, starts
        uint8 (c, s) and int64 (c + 1,): rows ``starts[i]`` to ``starts[i + 1]`` are cell i.
    thresholds
        int64 (2, levels): ratios of inputs that are no members, by sketch and by embedding.
    """

    sketch: NDArray[np.uint8]
    embedding: NDArray[np.int8]
    centres: NDArray[np.uint8]
    starts: NDArray[np.int64]
    thresholds: NDArray[np.int64]

    def to_arrays(self) -> State:
        """Return the arrays."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Members:
        """Read what `to_arrays` returned."""
        return cls(**{name: arrays[name] for name in cls.__slots__})

    def ratios(
        self, sketch: NDArray[np.uint8], embedding: NDArray[np.int8], *, skip_self: bool = False
    ) -> NDArray[np.int64]:
        """Return (n, 2) squared-distance ratios, by sketch and by embedding; low is a member.

        ``skip_self`` leaves out the nearest: for members among members.
        """
        probed = self._probed(sketch)
        best = np.full((2, len(sketch), RANK + skip_self), _FAR)
        for cell in np.unique(probed).tolist():
            rows = np.flatnonzero((probed == cell).any(axis=1))
            part = slice(int(self.starts[cell]), int(self.starts[cell + 1]))
            for key, given, held in (
                (0, sketch, self.sketch),
                (1, embedding, self.embedding),
            ):
                d2 = _squared(given[rows], held[part])
                joined = np.concatenate([best[key, rows], d2], axis=1)
                best[key, rows] = np.partition(joined, best.shape[2] - 1, axis=1)[
                    :, : best.shape[2]
                ]
        ordered = np.sort(best, axis=2)[:, :, int(skip_self) :]
        ratio = np.floor(ordered[:, :, 0] * RATIO_UNIT / np.maximum(ordered[:, :, -1], 1.0))
        return np.minimum(ratio, RATIO_UNIT).astype(np.int64).T

    def _probed(self, sketch: NDArray[np.uint8]) -> NDArray[np.intp]:
        d2 = _squared(sketch, self.centres)
        probes = min(PROBES, len(self.centres))
        # Ties go to the first cell, whatever stands beside it.
        order: NDArray[np.intp] = np.argsort(d2, axis=1, kind="stable")[:, :probes]
        return order


def fit_members(
    sketch: NDArray[np.uint8],
    embedding: NDArray[np.int8],
    benign: tuple[NDArray[np.uint8], NDArray[np.int8]],
    seed: int,
) -> Members:
    """Sort members into cells, and learn what is usual for others.

    Parameters
    ----------
    benign
        Sketches and embeddings of inputs that are taken for no members; those that are, exactly,
        are left out.
    """
    rng = np.random.default_rng(seed)
    centres = _centres(sketch, rng)
    cell = np.concatenate(
        [
            np.argmin(_squared(sketch[at : at + 4096], centres), axis=1)
            for at in range(0, len(sketch), 4096)
        ]
    )
    order = np.argsort(cell, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(cell, minlength=len(centres)))].astype(np.int64)
    members = Members(sketch[order], embedding[order], centres, starts, np.zeros((2, 0), np.int64))
    chosen = rng.permutation(len(sketch))[:MAX_NULL]
    null = _in_parts(members, sketch[chosen], embedding[chosen], skip_self=True)
    others = _in_parts(members, *benign, skip_self=False)
    known = np.concatenate([null, others[others[:, 0] > 0]])
    thresholds = np.stack([tail_thresholds(known[:, key]) for key in range(2)])
    return replace(members, thresholds=thresholds)


def _in_parts(
    members: Members, sketch: NDArray[np.uint8], embedding: NDArray[np.int8], *, skip_self: bool
) -> NDArray[np.int64]:
    parts = [
        members.ratios(sketch[at : at + 1024], embedding[at : at + 1024], skip_self=skip_self)
        for at in range(0, len(sketch), 1024)
    ]
    return np.concatenate([*parts, np.zeros((0, 2), np.int64)])


def _centres(sketch: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Find centres by a few rounds of k-means on a sample."""
    count = int(np.clip(len(sketch) // CELL_MEMBERS, 1, MAX_CELLS))
    sample = sketch[rng.permutation(len(sketch))[: 40 * count]]
    centres = sample[:count].copy()
    for _ in range(_ROUNDS):
        cell = np.argmin(_squared(sample, centres), axis=1)
        size = np.bincount(cell, minlength=count)
        total = np.zeros((count, sample.shape[1]), np.int64)
        np.add.at(total, cell, sample)
        held = size > 0
        centres[held] = total[held] // size[held][:, None]
    return centres


def _squared(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return all squared distances: sums of integers that float32 holds exactly."""
    left, right = one.astype(np.float32), other.astype(np.float32)
    norms = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :]
    d2: NDArray[np.float64] = (norms - 2 * (left @ right.T)).astype(np.float64)
    return np.maximum(d2, 0.0)
