"""Inputs as bytes: elementwise, so the same whatever stands beside them in a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Vectors up to this length are ranged feature by feature; longer ones share one range.
MAX_RANGED_FEATURES = 64


class InputError(ValueError):
    """The input is of another kind than the encoder was fitted on."""


@dataclass(frozen=True, slots=True)
class InputRange:
    """Maps a reference's range onto 0 to 255, clipping what lies outside.

    Attributes
    ----------
    low, scale
        float64, (1,) or (elements,): a value v becomes ``(v - low) * scale``.
    floating
        The reference holds real numbers.
    identity
        The reference is made of bytes, which are taken as they are.
    """

    low: NDArray[np.float64]
    scale: NDArray[np.float64]
    floating: bool
    identity: bool

    @classmethod
    def fit(cls, reference: NDArray[Any]) -> Self:
        """Learn the range of ``reference``, shape (n, ...)."""
        check_numeric(reference)
        floating = reference.dtype.kind == "f"
        low, high = float(reference.min()), float(reference.max())
        if not floating and low >= 0 and high <= 255:
            return cls(np.zeros(1), np.ones(1), floating=False, identity=True)
        rows = reference.reshape(len(reference), -1).astype(np.float64)
        if reference.ndim == 2 and rows.shape[1] <= MAX_RANGED_FEATURES:
            lows, highs = rows.min(axis=0), rows.max(axis=0)
        else:
            lows, highs = np.array([low]), np.array([high])
        if floating and low >= 0 and high <= 1:
            lows, highs = np.zeros(1), np.ones(1)
        spans = np.where(highs > lows, highs - lows, max(high - low, 1.0))
        return cls(lows, 255.0 / spans, floating=floating, identity=False)

    def quantise(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``values``, shape (n, elements), as bytes.

        Raises
        ------
        InputError
            If a value is NaN or infinite, or the array is not numeric.
        """
        if values.dtype == np.uint8 and self.identity:
            return np.asarray(values, np.uint8)
        check_numeric(values)
        if self.identity:
            return np.asarray(np.clip(values, 0, 255), np.uint8)
        scaled = (values.astype(np.float64) - self.low) * self.scale
        steps: NDArray[np.uint8] = np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)
        return steps


def check_numeric(values: NDArray[Any]) -> None:
    """Refuse what is no array of finite numbers.

    Raises
    ------
    InputError
        If it is none.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"inputs must be numbers, not {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("inputs hold NaN or infinity")
