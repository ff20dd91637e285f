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
_FAR = np.float32(1 << 40)
#: Multiplications below which OpenBLAS stays in one thread, see `detectors.query.anchors`.
_SMALL_PRODUCT = 1 << 17
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


class Search:
    """Finds the nearest members of queries.

    Products of small integers sum to less than 2**24: exact in float32, whatever BLAS does.
    """

    def __init__(self, members: Members) -> None:
        self._starts = members.starts
        self._centres = _Held(members.centres)
        self._keys = (_Held(members.sketch), _Held(members.embedding))

    def ratios(
        self, sketch: NDArray[np.uint8], embedding: NDArray[np.int8], *, skip_self: bool = False
    ) -> NDArray[np.int64]:
        """Return (n, 2) squared-distance ratios, by sketch and by embedding; low is a member.

        ``skip_self`` leaves out the nearest: for members among members.
        """
        given = (sketch.astype(np.float32), embedding.astype(np.float32))
        probed = self._probed(given[0])
        rank = RANK + skip_self
        best = np.full((2, len(sketch), rank), _FAR, np.float32)
        order = np.argsort(probed, axis=None, kind="stable")
        cells, first = np.unique(probed.ravel()[order], return_index=True)
        for cell, rows in zip(
            cells.tolist(), np.split(order // probed.shape[1], first[1:]), strict=True
        ):
            part = slice(int(self._starts[cell]), int(self._starts[cell + 1]))
            for key, held in enumerate(self._keys):
                d2 = held.squared(given[key][rows], part)
                joined = np.concatenate([best[key, rows], d2], axis=1)
                best[key, rows] = np.partition(joined, rank - 1, axis=1)[:, :rank]
        ordered = np.sort(best, axis=2)[:, :, int(skip_self) :].astype(np.float64)
        ratio = np.floor(ordered[:, :, 0] * RATIO_UNIT / np.maximum(ordered[:, :, -1], 1.0))
        return np.asarray(np.minimum(ratio, RATIO_UNIT), np.int64).T

    def _probed(self, sketch: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the nearest cells; ties go to the first, whatever stands beside it."""
        cells = len(self._starts) - 1
        d2 = self._centres.squared(sketch, slice(None)).astype(np.float64)
        probes = min(PROBES, cells)
        key = d2 * cells + np.arange(cells)
        chosen: NDArray[np.intp] = np.argpartition(key, probes - 1, axis=1)[:, :probes]
        return chosen


class _Held:
    """Vectors of small integers with their squared lengths."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        self._rows = vectors.astype(np.float32)
        self._norms = (self._rows * self._rows).sum(axis=1)

    def squared(self, given: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
        """Return squared distances to the vectors of a part."""
        held = self._rows[part]
        dot = np.empty((len(given), len(held)), np.float32)
        step = max(1, _SMALL_PRODUCT // max(1, held.size))
        for at in range(0, len(given), step):
            dot[at : at + step] = given[at : at + step] @ held.T
        norms = np.einsum("ij,ij->i", given, given)
        d2: NDArray[np.float32] = np.maximum(norms[:, None] + self._norms[part] - 2 * dot, 0)
        return d2


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
    cell = _nearest(sketch, centres)
    order = np.argsort(cell, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(cell, minlength=len(centres)))].astype(np.int64)
    members = Members(sketch[order], embedding[order], centres, starts, np.zeros((2, 0), np.int64))
    chosen = rng.permutation(len(sketch))[:MAX_NULL]
    search = Search(members)
    null = search.ratios(sketch[chosen], embedding[chosen], skip_self=True)
    others = search.ratios(*benign)
    known = np.concatenate([null, others[others[:, 0] > 0]])
    thresholds = np.stack([tail_thresholds(known[:, key]) for key in range(2)])
    return replace(members, thresholds=thresholds)


def _nearest(sketch: NDArray[np.uint8], centres: NDArray[np.uint8]) -> NDArray[np.intp]:
    held = _Held(centres)
    return np.asarray(held.squared(sketch.astype(np.float32), slice(None)).argmin(axis=1), np.intp)


def _centres(sketch: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Find centres by a few rounds of k-means on a sample."""
    count = int(np.clip(len(sketch) // CELL_MEMBERS, 1, MAX_CELLS))
    sample = sketch[rng.permutation(len(sketch))[: 40 * count]]
    centres = sample[:count].copy()
    for _ in range(_ROUNDS):
        cell = _nearest(sample, centres)
        size = np.bincount(cell, minlength=count)
        total = np.zeros((count, sample.shape[1]), np.int64)
        np.add.at(total, cell, sample)
        held = size > 0
        centres[held] = total[held] // size[held][:, None]
    return centres
