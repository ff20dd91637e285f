"""How much of a sketch benign inputs cannot explain: the residual of their principal axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Axes of benign sketches, as a share of their size, that are no residual.
AXES_SHARE = 0.4
#: A residual of benign size is this long in each direction.
UNIT = 1 << 14
#: Directions in which benign sketches hardly vary still get this share of the mean variance.
FLOOR = 0.05
_REDUCED = 16


class ShapeFit(NamedTuple):
    """Integer matrix (s, s) and offset (s,) that turn a sketch into its weighted residual."""

    matrix: NDArray[np.int64]
    offset: NDArray[np.int64]


def fit_shape(sketch: NDArray[np.uint8], held_out: NDArray[np.uint8]) -> ShapeFit:
    """Fit the axes to benign sketches and their weights to others."""
    given = sketch.astype(np.float64)
    mean = given.mean(axis=0)
    axes = np.linalg.svd(given - mean, full_matrices=False)[2]
    axes = axes[: max(1, int(AXES_SHARE * len(axes)))]
    projection = np.eye(len(mean)) - axes.T @ axes
    variance = (((held_out - mean) @ projection) ** 2).mean(axis=0)
    weight = 1.0 / np.sqrt(variance + FLOOR * variance.mean() + 1e-3)
    matrix = np.rint(projection * weight * UNIT).astype(np.int64)
    return ShapeFit(matrix, np.rint(mean @ matrix).astype(np.int64))


def shape_scores(fit: ShapeFit, sketch: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the length of each residual; larger is stranger.

    Every product and sum is an integer below 2**53, and a square root is rounded alike by every
    IEEE 754 machine.
    """
    residual = sketch.astype(np.float64) @ fit.matrix.astype(np.float64) - fit.offset
    steps = np.floor(residual / _REDUCED)
    length: NDArray[np.int64] = np.rint(np.sqrt((steps * steps).sum(axis=1))).astype(np.int64)
    return length
