"""What Vedette knows of one served model: anchors and tail thresholds per class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.tables import State

PROFILE_VERSION = 1
_ARRAYS = (
    "classes",
    "anchors",
    "anchor_starts",
    "near_thresholds",
    "far_thresholds",
    "margin_thresholds",
    "burst_mean",
    "burst_spread",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Calibration of one served model; group 0 pools classes that are rare or unknown.

    Attributes
    ----------
    classes
        int32 (g,), ascending: labels with thresholds of their own, groups 1 to g.
    anchors, anchor_starts
        int8 (a, e) and int64 (g + 2,): embeddings known to be benign, sorted by group.
    near_thresholds, far_thresholds, margin_thresholds
        int64 (g + 1, levels): squared sketch distances of pairs with the same answer, negated
        distances to the anchors, and margins, see `detectors.evidence.tail_thresholds`.
    neighbourhood_d2
        Squared sketch distance below which two queries are about the same thing.
    burst_mean, burst_spread
        float64 (2, metrics, scales) or empty: see `detectors.traffic.levels`.
    """

    classes: NDArray[np.int32]
    anchors: NDArray[np.int8]
    anchor_starts: NDArray[np.int64]
    near_thresholds: NDArray[np.int64]
    far_thresholds: NDArray[np.int64]
    margin_thresholds: NDArray[np.int64]
    neighbourhood_d2: int
    burst_mean: NDArray[np.float64]
    burst_spread: NDArray[np.float64]
    sketch_size: int
    samples: int
    summary: dict[str, Any] = field(default_factory=dict)

    def group_of(self, label: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the group of each label, 0 where it has none of its own."""
        if not len(self.classes):
            return np.zeros(len(label), np.intp)
        index = np.minimum(np.searchsorted(self.classes, label), len(self.classes) - 1)
        return np.where(self.classes[index] == label, index + 1, 0)

    def to_arrays(self) -> State:
        """Return the arrays of the profile."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def meta(self) -> dict[str, Any]:
        """Return what is no array, fit for JSON."""
        return {
            "version": PROFILE_VERSION,
            "neighbourhood_d2": self.neighbourhood_d2,
            "sketch_size": self.sketch_size,
            "samples": self.samples,
            "summary": self.summary,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> Profile:
        """Read what `to_arrays` and `meta` returned.

        Raises
        ------
        ValueError
            If the profile is of another version.
        """
        if meta["version"] != PROFILE_VERSION:
            raise ValueError(f"profile has version {meta['version']}, not {PROFILE_VERSION}")
        return cls(
            **{name: arrays[name] for name in _ARRAYS},
            neighbourhood_d2=int(meta["neighbourhood_d2"]),
            sketch_size=int(meta["sketch_size"]),
            samples=int(meta["samples"]),
            summary=dict(meta["summary"]),
        )
