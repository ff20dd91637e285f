"""What is added up of a window: whole numbers only, so that the order of rows does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Steps of a histogram in each doubling: a value read from it is off by at most a sixteenth.
_STEPS_BITS = 3
_MICRO = 1_000_000


class Totals(msgspec.Struct, array_like=True):
    """Counts and sums; latencies in microseconds, confidences in millionths."""

    requests: int = 0
    errors: int = 0
    denied: int = 0
    unscanned: int = 0
    alerts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_sum: int = 0
    latency_max: int = 0
    latency_bins: dict[int, int] = {}
    confidence_count: int = 0
    confidence_sum: int = 0
    confidence_min: int = _MICRO

    def add_latencies(self, found: Sequence[int | None]) -> None:
        """Add latencies; None: not known."""
        known = np.array([value for value in found if value is not None and value >= 0], np.int64)
        if not len(known):
            return
        self.latency_sum += int(known.sum())
        self.latency_max = max(self.latency_max, int(known.max()))
        bins = self.latency_bins
        for bin_, count in zip(*np.unique(bins_of(known), return_counts=True), strict=True):
            bins[int(bin_)] = bins.get(int(bin_), 0) + int(count)

    def add_confidences(self, found: Sequence[float | None]) -> None:
        """Add confidences; None: the model gave no scores, or was not scanned."""
        known = np.array([value for value in found if value is not None], np.float64)
        if not len(known):
            return
        whole = np.rint(known * _MICRO).astype(np.int64)
        self.confidence_count += len(whole)
        self.confidence_sum += int(whole.sum())
        self.confidence_min = min(self.confidence_min, int(whole.min()))

    def histogram(self) -> tuple[list[int], list[int]]:
        """Return the middles of the steps that hold latencies, and how many each holds."""
        bins = sorted(self.latency_bins)
        return [middle_of(bin_) for bin_ in bins], [self.latency_bins[bin_] for bin_ in bins]

    def percentile(self, percent: float) -> int | None:
        """Return a latency below which so many per cent lie, None if there are none."""
        values, counts = self.histogram()
        if not values:
            return None
        reached = np.cumsum(counts)
        return min(
            self.latency_max, values[int(np.searchsorted(reached, reached[-1] * percent / 100))]
        )


def bins_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the step of each value: exact below 16, eight steps to each doubling above.

    Examples
    --------
    >>> bins_of(np.array([0, 15, 16, 17, 18, 32], np.int64)).tolist()
    [0, 15, 16, 16, 17, 24]
    """
    # frexp is exact below 2**53; a latency of centuries may fall one step off.
    exponent = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(0, exponent - _STEPS_BITS - 1)
    steps: NDArray[np.int64] = (shift << _STEPS_BITS) + (values >> shift)
    return steps


def middle_of(bin_: int) -> int:
    """Return the value in the middle of a step.

    Examples
    --------
    >>> middle_of(15), middle_of(16), middle_of(24)
    (15, 17, 34)
    """
    shift = max(0, (bin_ >> _STEPS_BITS) - 1)
    return ((bin_ - (shift << _STEPS_BITS)) << shift) + (1 << shift >> 1)
