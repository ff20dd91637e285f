"""How far an input lies from what the model's answer usually looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import FIXED_POINT_ONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The distance is that to the k-th nearest anchor, so that no single odd anchor opens a door.
NEIGHBOURS = 5
#: Multiplications below which OpenBLAS stays in one thread: waking others for blocks this small
#: took ten times as long (measured).
_SMALL_PRODUCT = 1 << 17


class Anchors:
    """Cosine distance to the k-th nearest anchor of the answered class.

    Anchors of the answered class only: an input that looks like one class and is answered as
    another is as strange as one that looks like none.

    Parameters
    ----------
    anchors, starts
        int8 (a, e) and int64 (g + 2,): rows ``starts[i]`` to ``starts[i + 1]`` are group i.
    """

    def __init__(self, anchors: NDArray[np.int8], starts: NDArray[np.int64]) -> None:
        wide = anchors.astype(np.float32)
        self._rows = wide
        self._inverse_norm = _inverse_norms(anchors)
        self._starts = starts

    def distance(self, embedding: NDArray[np.int8], group: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return fixed-point distances, 0 to 2; 2 for groups without anchors."""
        distance = np.full(len(embedding), 2 * FIXED_POINT_ONE, np.int64)
        for index in np.unique(group).tolist():
            start, stop = int(self._starts[index]), int(self._starts[index + 1])
            if stop > start:
                members = np.flatnonzero(group == index)
                step = max(1, _SMALL_PRODUCT // ((stop - start) * embedding.shape[1]))
                for at in range(0, len(members), step):
                    rows = members[at : at + step]
                    cosine = self._cosine(embedding[rows], start, stop)
                    distance[rows] = np.rint((1.0 - cosine) * FIXED_POINT_ONE).astype(np.int64)
        return distance

    def _cosine(self, embedding: NDArray[np.int8], start: int, stop: int) -> NDArray[np.float64]:
        # Products of int8 sum to less than 2**24: exact in float32, whatever BLAS does.
        dot = embedding.astype(np.float32) @ self._rows[start:stop].T
        scaled = dot * self._inverse_norm[start:stop]
        kth = min(NEIGHBOURS, stop - start)
        nearest = np.partition(scaled, stop - start - kth, axis=1)[:, stop - start - kth]
        cosine: NDArray[np.float64] = nearest.astype(np.float64) * _inverse_norms(embedding)
        return cosine


def _inverse_norms(embedding: NDArray[np.int8]) -> NDArray[np.float32]:
    wide = embedding.astype(np.int32)
    squared = np.einsum("ij,ij->i", wide, wide)
    root = np.sqrt(np.maximum(squared, 1).astype(np.float64))
    inverse: NDArray[np.float32] = (1.0 / root).astype(np.float32)
    return inverse
