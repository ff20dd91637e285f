"""Tells a search from harmless likeness: a weighing of what near queries have about them.

Too near alone is no guilt: augmented copies, films and batches that are sent again are near too.
Small decision trees are fitted for each model, on drills: harmless clients and searches made from
its reference. They can only withhold evidence of the near channel, never add to it, so that the
run length that it promises for independent queries stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.base import Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import hedged
from detectors.query.odd import odd_evidence
from detectors.query.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from detectors.query.measure import Measured

#: Questions from the root of a tree to a leaf.
DEPTH = 3
#: The outcome is held within this.
STEEPEST = 6 * FIXED_POINT_ONE
#: Harmless drills may come this near to the threshold of the default run length, but for a few.
_ALARM = np.log(4 * 60_000) * FIXED_POINT_ONE
_TOLERATED = 0.8 * _ALARM
_TOLERATED_SHARE = 0.007
#: What is bet on each query being of a search that hides among ordinary queries.
HIDDEN_SHARE = 0.2
_OFFSETS = np.arange(-3.0, 8.0, 0.25) * FIXED_POINT_ONE


class Trees(NamedTuple):
    """Complete binary trees of depth `DEPTH`, whose leaves add up.

    Attributes
    ----------
    feature, bound
        int64 (t, 2**DEPTH - 1): go right where the feature exceeds the bound.
    leaf
        int64 (t, 2**DEPTH), fixed point.
    base
        int64 (1,): what is added.
    """

    feature: NDArray[np.int64]
    bound: NDArray[np.int64]
    leaf: NDArray[np.int64]
    base: NDArray[np.int64]

    def weigh(self, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the fixed-point log likelihood ratio of search against harmless likeness."""
        bounded: NDArray[np.int64] = np.clip(self.total(features), -STEEPEST, STEEPEST)
        return bounded

    def total(self, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ratio before it is held within bounds."""
        rows = np.arange(len(features))[:, None]
        trees = np.arange(len(self.feature))
        node = np.zeros((len(features), len(trees)), np.intp)
        for _ in range(DEPTH):
            right = features[rows, self.feature[trees, node]] > self.bound[trees, node]
            node = 2 * node + 1 + right
        leaves = self.leaf[trees, node - self.bound.shape[1]]
        total: NDArray[np.int64] = leaves.sum(axis=1) + self.base[0]
        return total

    def lowered(self, offset: float) -> Trees:
        """Return trees with a lower outcome."""
        return self._replace(base=self.base - round(offset))


@dataclass(frozen=True, slots=True)
class Exercise:
    """Measures of the queries of one drill, in order."""

    kind: str
    hostile: bool
    measured: Measured

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Queries that are weighed."""
        return (self.measured.near > 0) & ~self.measured.repeated


def no_trees() -> Trees:
    """Return trees that withhold nothing."""
    nothing = np.zeros((0, 2**DEPTH), np.int64)
    return Trees(nothing[:, :-1], nothing[:, :-1], nothing, np.array([STEEPEST], np.int64))


def withheld(measured: Measured, trees: Trees) -> NDArray[np.int64]:
    """Return the near channel's evidence after the weighing."""
    rows = np.flatnonzero(measured.near > 0)
    if not len(rows) or not len(trees.leaf):
        return measured.likely.copy()
    return _at_most(measured, rows, trees.weigh(measured.features[rows]))


def _at_most(
    measured: Measured, rows: NDArray[np.intp], weighed: NDArray[np.int64]
) -> NDArray[np.int64]:
    evidence = measured.likely.copy()
    evidence[rows] = np.minimum(evidence[rows], weighed)
    return evidence


def calmed(trees: Trees, exercises: Sequence[Exercise]) -> Trees:
    """Raise or lower the outcome until all but few of each harmless kind stay below the threshold.

    ``exercises`` are others than those that the trees were fitted to.
    """
    harmless = [e for e in exercises if not e.hostile and e.kind != "augmented"]
    totals = [trees.total(e.measured.features[e.measured.near > 0]) for e in harmless]
    for offset in _OFFSETS:
        weighed = (np.clip(t - round(offset), -STEEPEST, STEEPEST) for t in totals)
        paths = (_path_of(e.measured, w) for e, w in zip(harmless, weighed, strict=True))
        if _calm(zip((e.kind for e in harmless), paths, strict=True)):
            break
    return trees.lowered(offset)


def alarmed(trees: Trees, exercise: Exercise) -> float:
    """Return how near a harmless drill comes to half an alarm, 0 to 1; 0 for searches."""
    if exercise.hostile:
        return 0.0
    peak = float(_near_path(trees, exercise.measured).max(initial=0))
    return min(1.0, 2 * peak / float(_TOLERATED))


def delay(trees: Trees, exercises: Sequence[Exercise]) -> float:
    """Return after which share of their queries searches are found, on average."""
    shares = []
    for exercise in exercises:
        if exercise.hostile:
            path = _near_path(trees, exercise.measured)
            over = path > _ALARM
            shares.append(float(over.argmax()) / len(path) if over.any() else 1.0)
    return float(np.mean(shares)) if shares else 1.0


def calm_offsets(exercises: Sequence[Exercise]) -> NDArray[np.int64]:
    """Return what to lower foreign and margin evidence by for harmless drills to stay calm."""
    harmless = [e for e in exercises if not e.hostile and e.kind != "augmented"]
    found = np.full(2, round(_OFFSETS[-1]), np.int64)
    for channel in range(2):
        for offset in _OFFSETS[_OFFSETS >= 0]:
            tried = np.full(2, round(offset), np.int64)
            odd = ((e.kind, _odd(e.measured, tried)[:, channel], e.measured) for e in harmless)
            paths = ((kind, _path(evidence, measured)) for kind, evidence, measured in odd)
            if _calm(paths):
                found[channel] = round(offset)
                break
    return found


def _odd(measured: Measured, offset: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.arange(len(measured.label))
    alone = Segments.of(rows, np.zeros(len(rows), np.intp))
    return odd_evidence(measured, alone, Runs(1, 2), offset)


def _near_path(trees: Trees, measured: Measured) -> NDArray[np.int64]:
    """Return the sums of the near channel, or those with the small stake if they are higher."""
    return _path_of(measured, trees.weigh(measured.features[measured.near > 0]))


def _path_of(measured: Measured, weighed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same, given what the near queries are weighed as."""
    near = _at_most(measured, np.flatnonzero(measured.near > 0), weighed)
    return np.maximum(_path(near, measured), _path(hedged(near, HIDDEN_SHARE), measured))


def _path(evidence: NDArray[np.int64], measured: Measured) -> NDArray[np.int64]:
    """Return the sums that the evidence of one client reaches, query by query."""
    total = np.cumsum(np.where(measured.repeated, 0, evidence))
    low = np.minimum.accumulate(np.minimum(np.r_[0, total[:-1]], 0))
    path: NDArray[np.int64] = total - low
    return path


def _calm(paths: Iterable[tuple[str, NDArray[np.int64]]]) -> bool:
    """Tell whether all but few harmless drills of each kind stay below the threshold."""
    peaks: dict[str, list[int]] = {}
    for kind, path in paths:
        peaks.setdefault(kind, []).append(int(path.max(initial=0)))
    return all(_share_above(np.sort(kind)) <= _TOLERATED_SHARE for kind in peaks.values())


def _share_above(peaks: NDArray[np.int64]) -> float:
    """Return which share of the clients behind these peaks would come too near to the threshold.

    The highest sum that evidence reaches has an exponential tail, which is surer than to count the
    one or two of a few dozen drills that do.
    """
    highest = peaks[-max(2, len(peaks) // 5) :]
    begins = highest[0]
    decay = max(1.0, float((highest - begins).mean()))
    return min(1.0, len(highest) / len(peaks) * float(np.exp((begins - _TOLERATED) / decay)))
