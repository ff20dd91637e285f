"""What Vedette knows of one served model: anchors and tail thresholds per class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.query.adjudicator import Trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.membership.members import Members
    from detectors.tables import State

PROFILE_VERSION = 4
_ARRAYS = (
    "classes",
    "anchors",
    "anchor_starts",
    "code_matrix",
    "code_offset",
    "near_thresholds",
    "cross_thresholds",
    "far_scale",
    "far_thresholds",
    "odd_offset",
    "margin_thresholds",
    "exposure_matrix",
    "exposure_offset",
    "exposure_out",
    "exposure_scale",
    "exposure_thresholds",
    "shape_matrix",
    "shape_offset",
    "shape_scale",
    "shape_thresholds",
    "grain_scale",
    "grain_thresholds",
    "tied_thresholds",
    "coverage_thresholds",
    "tree_feature",
    "tree_bound",
    "tree_leaf",
    "tree_base",
    "view_grid",
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
    code_matrix, code_offset
        int64 (s, k) and (k,): see `detectors.query.code`.
    near_thresholds, cross_thresholds, margin_thresholds
        int64 (g + 1, levels): squared code distances of pairs with the same answer and with
        another one, and margins, see `detectors.evidence.tail_thresholds`.
    odd_offset
        int64 (2,): what foreign and margin evidence is lowered by, so that harmless drills stay
        calm.
    exposure_matrix, exposure_offset, exposure_out
        int64 (s, h), (h,) and (h,): see `detectors.query.exposure`.
    exposure_scale, exposure_thresholds
        The same for the outcome as for distances to the anchors, below.
    shape_matrix, shape_offset
        int64 (s, s) and (s,): see `detectors.query.shape`.
    far_scale, far_thresholds, shape_scale, shape_thresholds, grain_scale, grain_thresholds
        Distances to the anchors, residuals and grain: int64 (2, g + 1) and (levels,), see
        `detectors.evidence.PooledTail`.
    tied_thresholds
        int64 (levels,): see `detectors.query.ties`.
    coverage_thresholds
        int64 (2, levels): see `detectors.query.coverage`.
    tree_feature, tree_bound, tree_leaf, tree_base
        See `detectors.query.adjudicator.Trees`.
    view_grid
        int64 (2,): see `detectors.query.likeness`.
    neighbourhood_d2
        Squared code distance below which two queries are about the same thing.
    members
        What the training set looks like, if calibration was told; kept in a file of its own.
    burst_mean, burst_spread
        float64 (2, metrics, channels) or empty: see `detectors.traffic.levels`.
    """

    classes: NDArray[np.int32]
    anchors: NDArray[np.int8]
    anchor_starts: NDArray[np.int64]
    code_matrix: NDArray[np.int64]
    code_offset: NDArray[np.int64]
    near_thresholds: NDArray[np.int64]
    cross_thresholds: NDArray[np.int64]
    far_scale: NDArray[np.int64]
    far_thresholds: NDArray[np.int64]
    odd_offset: NDArray[np.int64]
    margin_thresholds: NDArray[np.int64]
    exposure_matrix: NDArray[np.int64]
    exposure_offset: NDArray[np.int64]
    exposure_out: NDArray[np.int64]
    exposure_scale: NDArray[np.int64]
    exposure_thresholds: NDArray[np.int64]
    shape_matrix: NDArray[np.int64]
    shape_offset: NDArray[np.int64]
    shape_scale: NDArray[np.int64]
    shape_thresholds: NDArray[np.int64]
    grain_scale: NDArray[np.int64]
    grain_thresholds: NDArray[np.int64]
    tied_thresholds: NDArray[np.int64]
    coverage_thresholds: NDArray[np.int64]
    tree_feature: NDArray[np.int64]
    tree_bound: NDArray[np.int64]
    tree_leaf: NDArray[np.int64]
    tree_base: NDArray[np.int64]
    view_grid: NDArray[np.int64]
    neighbourhood_d2: int
    burst_mean: NDArray[np.float64]
    burst_spread: NDArray[np.float64]
    sketch_size: int
    samples: int
    summary: dict[str, Any] = field(default_factory=dict)
    members: Members | None = None

    def group_of(self, label: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the group of each label, 0 where it has none of its own."""
        if not len(self.classes):
            return np.zeros(len(label), np.intp)
        index = np.minimum(np.searchsorted(self.classes, label), len(self.classes) - 1)
        return np.where(self.classes[index] == label, index + 1, 0)

    @property
    def trees(self) -> Trees:
        """What tells a search from harmless likeness."""
        return Trees(self.tree_feature, self.tree_bound, self.tree_leaf, self.tree_base)

    def with_trees(self, trees: Trees) -> Profile:
        """Return the profile with other trees."""
        return replace(self, **{f"tree_{name}": part for name, part in trees._asdict().items()})

    def to_arrays(self) -> State:
        """Return the arrays of the profile, in the order of memory that files have."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}

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
            **{name: arrays[name] for name in _ARRAYS},  # type: ignore[arg-type]  # all arrays
            neighbourhood_d2=int(meta["neighbourhood_d2"]),
            sketch_size=int(meta["sketch_size"]),
            samples=int(meta["samples"]),
            summary=dict(meta["summary"]),
        )
