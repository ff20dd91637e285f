"""Codes: where a sketch lies along the principal axes of benign sketches, a byte an axis.

Benign inputs differ along few axes; noise, patches and single pixels change an input along all of
them a little. So codes of a search lie closer together than those of benign inputs ever do, and
many of them fit into a client's memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Axes of a code.
AXES = 16
#: Entries of the matrix are in units of 1/4096 of a step.
_UNIT = 1 << 12
_MIDDLE = 128
#: This share of benign sketches keeps within the bytes along the widest axis.
_WITHIN = 0.999


class CodeFit(NamedTuple):
    """Integer matrix (s, k) and offset (k,) that turn sketches into codes."""

    matrix: NDArray[np.int64]
    offset: NDArray[np.int64]


def fit_codes(sketch: NDArray[np.uint8]) -> CodeFit:
    """Fit the axes to benign sketches (n, s)."""
    given = sketch.astype(np.float64)
    mean = given.mean(axis=0)
    axes = np.linalg.svd(given - mean, full_matrices=False)[2][:AXES]
    # The sign of an axis is anyone's choice.
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    along = np.abs((given - mean) @ axes.T)
    reach = float(np.quantile(along, _WITHIN, axis=0).max(initial=1.0))
    matrix = np.rint(axes.T * (_MIDDLE / max(reach, 1.0)) * _UNIT).astype(np.int64)
    return CodeFit(matrix, np.rint(mean @ matrix).astype(np.int64))


def codes_of(fit: CodeFit, sketch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return codes uint8 (n, k); sums of integers below 2**53, so exact."""
    along = sketch.astype(np.float64) @ fit.matrix.astype(np.float64) - fit.offset
    steps = np.floor(along / _UNIT + 0.5) + _MIDDLE
    return np.asarray(np.clip(steps, 0, 255), np.uint8)
