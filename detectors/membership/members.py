"""Keys of the training set, and how much nearer a query is to one member than to others.

A member, be it noisy, lies much nearer to itself than to its next neighbours; anything else is
about as near to several. Ratios of distances need no scale, so noise changes them little.

References
----------
Lowe. Distinctive image features from scale-invariant keypoints. IJCV 2004 (the ratio test).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.evidence import tail_thresholds
from detectors.tables import pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectors.tables import State

#: The ratio is that of the nearest member to the one of this rank.
RANK = 4
#: Members a cell holds on average, and most cells. Only the nearest cell is searched: the two next
#: ones as well found no member more (measured), but for 2 % of the noisiest.
CELL_MEMBERS, MAX_CELLS = 320, 512
#: Members that tell what the ratio is for others of their kind.
MAX_NULL = 8000
RATIO_UNIT = 1 << 16
_FAR = np.float32(1 << 40)
#: Multiplications below which OpenBLAS stays in one thread, see `detectors.query.anchors`.
_SMALL_PRODUCT = 1 << 17
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Index:
    """One key of all members, in cells of those that resemble each other.

    Attributes
    ----------
    key
        int16 (m, k), sorted by cell.
    centres, starts
        int16 (c, k) and int64 (c + 1,): rows ``starts[i]`` to ``starts[i + 1]`` are cell i.
    thresholds
        int64 (levels,): ratios of inputs that are no members.
    """

    key: NDArray[np.int16]
    centres: NDArray[np.int16]
    starts: NDArray[np.int64]
    thresholds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Members:
    """An index for each key of `detectors.membership.keys`."""

    indexes: tuple[Index, ...]

    @property
    def thresholds(self) -> tuple[NDArray[np.int64], ...]:
        """Thresholds of each key."""
        return tuple(index.thresholds for index in self.indexes)

    def to_arrays(self) -> State:
        """Return the arrays."""
        return {
            f"{number}/{name}": getattr(index, name)
            for number, index in enumerate(self.indexes)
            for name in Index.__slots__
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Members:
        """Read what `to_arrays` returned."""
        count = len(arrays) // len(Index.__slots__)
        states = (pick(str(number), arrays) for number in range(max(1, count)))
        return cls(tuple(Index(**{name: s[name] for name in Index.__slots__}) for s in states))


class Search:
    """Finds the nearest members of queries.

    Products of small integers sum to less than 2**24: exact in float32, whatever BLAS does.
    """

    def __init__(self, members: Members) -> None:
        self._parts = [
            (_Held(index.key), _Held(index.centres), index.starts) for index in members.indexes
        ]

    def ratios(
        self, keys: Sequence[NDArray[np.int16]], *, skip_self: bool = False
    ) -> NDArray[np.int64]:
        """Return (n, keys) squared-distance ratios; low is a member.

        ``skip_self`` leaves out the nearest: for members among members.
        """
        found = [
            _ratios(*part, key.astype(np.float32), skip=int(skip_self))
            for part, key in zip(self._parts, keys, strict=True)
        ]
        return np.stack(found, axis=1)


def _ratios(
    members: _Held,
    centres: _Held,
    starts: NDArray[np.int64],
    given: NDArray[np.float32],
    *,
    skip: int,
) -> NDArray[np.int64]:
    rank = RANK + skip
    best = np.full((len(given), rank), _FAR, np.float32)
    nearest = centres.nearest(given)
    order = np.argsort(nearest, kind="stable")
    given, cells = given[order], nearest[order]
    bounds = [*np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]).tolist(), len(cells)]
    for start, stop in pairwise(bounds):
        cell = int(cells[start])
        beyond = members.beyond(given[start:stop], slice(int(starts[cell]), int(starts[cell + 1])))
        kept = min(rank, beyond.shape[1])
        best[start:stop, :kept] = np.partition(beyond, kept - 1, axis=1)[:, :kept]
    d2 = np.sort(best, axis=1) + np.einsum("ij,ij->i", given, given)[:, None]
    ordered = np.empty_like(d2, np.float64)
    ordered[order] = d2
    ordered = ordered[:, skip:]
    ratio = np.floor(ordered[:, 0] * RATIO_UNIT / np.maximum(ordered[:, -1], 1.0))
    return np.asarray(np.minimum(ratio, RATIO_UNIT), np.int64)


class _Held:
    """Vectors of small integers with their squared lengths."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        rows = vectors.astype(np.float32)
        self._turned = -2 * rows.T
        self._norms = (rows * rows).sum(axis=1)

    def beyond(self, given: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
        """Return squared distances to the vectors of a part, less the squares of the given."""
        turned = self._turned[:, part]
        beyond = np.empty((len(given), turned.shape[1]), np.float32)
        step = max(1, _SMALL_PRODUCT // max(1, turned.size))
        for at in range(0, len(given), step):
            np.matmul(given[at : at + step], turned, out=beyond[at : at + step])
        beyond += self._norms[part]
        return beyond

    def nearest(self, given: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the nearest vector; ties go to the first, whatever stands beside it."""
        return np.asarray(self.beyond(given, slice(None)).argmin(axis=1), np.intp)


def fit_members(
    keys: Sequence[NDArray[np.int16]], benign: Sequence[NDArray[np.int16]], seed: int
) -> Members:
    """Sort members into cells, and learn what is usual for others.

    Parameters
    ----------
    keys
        int16 (m, k) of the members, by `detectors.membership.keys.keys_of`.
    benign
        The same of inputs that are taken for no members; those that are, exactly, are left out.
    """
    rng = np.random.default_rng(seed)
    members = Members(tuple(_sorted(key, rng) for key in keys))
    chosen = rng.permutation(len(keys[0]))[:MAX_NULL]
    search = Search(members)
    null = search.ratios([key[chosen] for key in keys], skip_self=True)
    others = search.ratios(benign)
    known = np.concatenate([null, others[others[:, 0] > 0]])
    return Members(
        tuple(
            replace(index, thresholds=tail_thresholds(known[:, number]))
            for number, index in enumerate(members.indexes)
        )
    )


def _sorted(key: NDArray[np.int16], rng: np.random.Generator) -> Index:
    centres = _centres(key, rng)
    cell = _nearest(key, centres)
    starts = np.r_[0, np.cumsum(np.bincount(cell, minlength=len(centres)))].astype(np.int64)
    order = np.argsort(cell, kind="stable")
    return Index(key[order], centres, starts, np.zeros(0, np.int64))


def _nearest(key: NDArray[np.int16], centres: NDArray[np.int16]) -> NDArray[np.intp]:
    return _Held(centres).nearest(key.astype(np.float32))


def _centres(key: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Find centres by a few rounds of k-means on a sample."""
    count = int(np.clip(len(key) // CELL_MEMBERS, 1, MAX_CELLS))
    sample = key[rng.permutation(len(key))[: 40 * count]]
    centres = sample[:count].copy()
    for _ in range(_ROUNDS):
        cell = _nearest(sample, centres)
        size = np.bincount(cell, minlength=count)
        total = np.zeros((count, sample.shape[1]), np.int64)
        np.add.at(total, cell, sample)
        held = size > 0
        centres[held] = total[held] // size[held][:, None]
    return centres
