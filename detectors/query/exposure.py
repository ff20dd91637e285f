"""Whether something was done to an input: a net of one hidden layer, in integers.

Calibration trains it on the reference and on the same inputs with noise, patches and gratings on
them, see `models.exposure`; what it says is ranked among what it says of benign inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Weights are in units of 2**-20 and 2**-10; scores in units of 2**-10.
_UNIT, _OUT_UNIT = 1 << 20, 1 << 10


class ExposureFit(NamedTuple):
    """Integer weights (s, h), (h,) and (h,) of sketches, hidden units and outcome.

    Without hidden units it says nothing.
    """

    matrix: NDArray[np.int64]
    offset: NDArray[np.int64]
    out: NDArray[np.int64]


def round_exposure(
    weight: NDArray[np.float64], bias: NDArray[np.float64], out: NDArray[np.float64]
) -> ExposureFit:
    """Round a net's weights."""
    return ExposureFit(
        np.rint(weight * _UNIT).astype(np.int64),
        np.rint(bias * _UNIT).astype(np.int64),
        np.rint(out * _OUT_UNIT).astype(np.int64),
    )


def no_exposure(sketch_size: int) -> ExposureFit:
    """Return a net that says nothing."""
    none = np.zeros(0, np.int64)
    return ExposureFit(np.zeros((sketch_size, 0), np.int64), none, none)


def exposure_scores(fit: ExposureFit, sketch: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return log odds of something having been done; every sum is an integer below 2**53."""
    inner = sketch.astype(np.float64) @ fit.matrix.astype(np.float64) + fit.offset
    np.maximum(inner, 0, out=inner)
    total = inner @ fit.out.astype(np.float64)
    scores: NDArray[np.int64] = np.floor(total / _UNIT).astype(np.int64)
    return scores
