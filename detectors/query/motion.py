"""How much of the difference between two sketches a camera's motion and its light explain.

A shift, turn or zoom changes an image along its own gradients, light changes it along itself;
the changes of an attack do neither.

References
----------
Lucas, Kanade. An iterative image registration technique. IJCAI 1981.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import FIXED_POINT_ONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Shares are told in these steps, so that the last bits of a machine never show.
_STEPS = 64
_RIDGE = 64
#: A constant this large makes the ridge weigh little on a change of all shades.
_SHADE = 64


class Motion:
    """Compares sketches of images.

    Parameters
    ----------
    grid
        int64 (4,): rows, columns, channels and whether channels come first; zeros if inputs are
        no images.
    """

    def __init__(self, grid: NDArray[np.int64]) -> None:
        self._rows, self._columns, self._channels, self._first = grid.tolist()

    @property
    def known(self) -> bool:
        """Whether there is anything to see."""
        return bool(min(self._rows, self._columns) >= 3)

    def explained(self, new: NDArray[np.uint8], old: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return fixed-point shares, 0 to 1, of differences (n, s) that motion explains."""
        if not self.known or not len(new):
            return np.zeros(len(new), np.int64)
        difference = new.astype(np.int64) - old
        basis = self._basis(new.astype(np.int64) + old)
        # Sums of integers are exact; what follows is elementwise, so the same on any machine.
        gram = np.einsum("nis,njs->nij", basis, basis).astype(np.float64)
        target = np.einsum("nis,ns->ni", basis, difference).astype(np.float64)
        explained = _projected(gram, target)
        total = np.maximum((difference * difference).sum(axis=1), 1)
        share = np.rint(np.clip(explained / total, 0.0, 1.0) * _STEPS)
        return np.asarray(share * (FIXED_POINT_ONE // _STEPS), np.int64)

    def _basis(self, twice: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (n, 6, s): light, offset, shifts, turn and zoom of sums of two sketches."""
        n = len(twice)
        shape = (self._rows, self._columns)
        image = (
            np.moveaxis(twice.reshape(n, self._channels, *shape), 1, -1)
            if self._first
            else twice.reshape(n, *shape, self._channels)
        )
        down, right = _slope(image, 1), _slope(image, 2)
        y = (2 * np.arange(self._rows) - self._rows + 1)[None, :, None, None]
        x = (2 * np.arange(self._columns) - self._columns + 1)[None, None, :, None]
        light = image - image.mean(axis=(1, 2, 3), keepdims=True).astype(np.int64)
        parts = [
            light,
            np.full_like(image, _SHADE),
            down,
            right,
            y * right - x * down,
            y * down + x * right,
        ]
        stacked = np.stack(parts, axis=1)
        if self._first:
            stacked = np.moveaxis(stacked, -1, 2)
        return stacked.reshape(n, len(parts), -1)


def _slope(image: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Return central differences, edges repeated."""
    size = image.shape[axis]
    after = image.take(np.minimum(np.arange(size) + 1, size - 1), axis)
    before = image.take(np.maximum(np.arange(size) - 1, 0), axis)
    slope: NDArray[np.int64] = after - before
    return slope


def _projected(gram: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return b' (G + ridge)^-1 b by elimination, all matrices at once."""
    size = gram.shape[1]
    gram, target = gram.copy(), target.copy()
    for i in range(size):
        gram[:, i, i] += _RIDGE
    total = np.zeros(len(gram))
    for i in range(size):
        pivot = np.maximum(gram[:, i, i], 1.0)
        total += target[:, i] * target[:, i] / pivot
        for j in range(i + 1, size):
            factor = gram[:, j, i] / pivot
            target[:, j] -= factor * target[:, i]
            gram[:, j, i:] -= factor[:, None] * gram[:, i, i:]
    return total
