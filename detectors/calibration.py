"""From benign samples to a profile: anchors, held-out tail thresholds, a summary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import TAIL_LEVELS, standardise
from detectors.profile import Profile
from detectors.query.adjudicator import no_trees
from detectors.query.anchors import Anchors
from detectors.query.code import codes_of, fit_codes
from detectors.query.coverage import fit_coverage
from detectors.query.exposure import ExposureFit, exposure_scores, no_exposure
from detectors.query.shape import fit_shape, shape_scores
from detectors.query.ties import fit_ties
from detectors.rehearsal import rehearse
from detectors.tails import exponential_tail, high_tail, low_tail
from detectors.traffic.levels import fit_cohort

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: A class with fewer samples shares the pooled tables.
MIN_CLASS_SAMPLES = 40
MAX_CLASSES = 64
#: Of each class, this share of the samples (and at most so many) become anchors.
ANCHOR_SHARE = 0.4
MAX_ANCHORS = 128
#: Samples of a class whose pairs are measured.
MAX_PAIRED = 1500
#: A class with fewer held-out samples borrows centre and spread of all.
_FEW = 15
#: Two queries closer than this share of all pairs are about the same thing.
NEIGHBOURHOOD_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Benign samples of one model, as `detectors.batch.Batch` holds them.

    ``time_us``, ``client`` and the token columns are given if the samples are a recording of
    real traffic: burst levels are fitted to them. ``grid`` is that of the views, None if inputs are
    no images.
    """

    sketch: NDArray[np.uint8]
    embedding: NDArray[np.int8]
    label: NDArray[np.int32]
    confidence: NDArray[np.int32]
    margin: NDArray[np.int32]
    grain: NDArray[np.int32]
    view: NDArray[np.uint8]
    time_us: NDArray[np.int64] | None = None
    client: NDArray[np.int32] | None = None
    input_tokens: NDArray[np.int32] | None = None
    output_tokens: NDArray[np.int32] | None = None
    status: NDArray[np.int16] | None = None
    grid: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.label)


def fit_profile(
    calibration: Calibration,
    seed: int = 0,
    varied: Calibration | None = None,
    exposure: ExposureFit | None = None,
) -> Profile:
    """Build the profile of a model from benign samples.

    Parameters
    ----------
    varied
        Harmless variations of the samples, row for row: shifted, turned, brighter. What is seen
        of them is benign too.
    exposure
        What tells that something was done to an input, learnt from other samples.

    Raises
    ------
    ValueError
        If there are too few samples to say what is benign.
    """
    if len(calibration) < 2 * MIN_CLASS_SAMPLES:
        raise ValueError(
            f"{len(calibration)} samples are too few; give at least {2 * MIN_CLASS_SAMPLES}"
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(calibration))
    classes = _classes(calibration.label)
    members = [shuffled, *(shuffled[calibration.label[shuffled] == c] for c in classes)]
    anchored = [_anchors_of(rows) for rows in members[1:]]
    # The pooled group's anchors are those of the classes and a share of everything else.
    rest = shuffled[~np.isin(calibration.label[shuffled], classes)]
    pooled = np.concatenate([*anchored, _anchors_of(rest)])
    anchored.insert(0, rng.permutation(pooled)[: 2 * MAX_ANCHORS])
    used = np.unique(np.concatenate([*anchored, np.zeros(0, np.intp)]))
    held_out = [rows[~np.isin(rows, used)] for rows in members]
    starts = np.cumsum([0, *(len(rows) for rows in anchored)]).astype(np.int64)
    anchors = Anchors(calibration.embedding[np.concatenate(anchored)], starts)
    looks = _Looks(calibration, varied, classes)
    shape = fit_shape(calibration.sketch[used], looks.sketch(held_out[0]))
    shape_scale, shape_thresholds = looks.pooled(held_out, shape_scores(shape, looks.both_sketches))
    far_scale, far_thresholds = looks.pooled(held_out, looks.distances(anchors))
    grain_scale, grain_thresholds = looks.pooled(held_out, looks.both_grains)
    touch = exposure or no_exposure(calibration.sketch.shape[1])
    touch_scale, touch_thresholds = looks.pooled(
        members, exposure_scores(touch, looks.both_sketches), exponential_tail
    )
    code = fit_codes(calibration.sketch)
    codes = codes_of(code, calibration.sketch)
    traffic, trees = fit_cohort(calibration), no_trees()
    profile = Profile(
        classes=classes,
        anchors=calibration.embedding[np.concatenate(anchored)],
        anchor_starts=starts,
        code_matrix=code.matrix,
        code_offset=code.offset,
        near_thresholds=np.stack([_near(codes, calibration.label, rows) for rows in members]),
        cross_thresholds=np.stack(
            [_cross(codes, calibration.label, rows, shuffled) for rows in members]
        ),
        far_scale=far_scale,
        far_thresholds=far_thresholds,
        odd_offset=np.zeros(2, np.int64),
        margin_thresholds=np.stack([_margin(calibration, rows) for rows in members]),
        shape_matrix=shape.matrix,
        shape_offset=shape.offset,
        shape_scale=shape_scale,
        shape_thresholds=shape_thresholds,
        grain_scale=grain_scale,
        grain_thresholds=grain_thresholds,
        exposure_matrix=touch.matrix,
        exposure_offset=touch.offset,
        exposure_out=touch.out,
        exposure_scale=touch_scale,
        exposure_thresholds=touch_thresholds,
        coverage_thresholds=looks.coverage(rng),
        tied_thresholds=fit_ties(calibration.view, None if varied is None else varied.view, rng),
        tree_feature=trees.feature,
        tree_bound=trees.bound,
        tree_leaf=trees.leaf,
        tree_base=trees.base,
        view_grid=_grid(calibration),
        neighbourhood_d2=_neighbourhood(codes, shuffled),
        burst_mean=traffic.mean,
        burst_spread=traffic.spread,
        sketch_size=calibration.sketch.shape[1],
        samples=len(calibration),
    )
    rehearsed = rehearse(profile, calibration, held_out[0], seed)
    summary = _summary(calibration, classes, anchors, held_out) | {"false_alarms": rehearsed}
    return replace(profile, summary=summary)


class _Looks:
    """Scores of samples and of their variations, by group."""

    def __init__(
        self, calibration: Calibration, varied: Calibration | None, classes: NDArray[np.int32]
    ) -> None:
        self._rows = len(calibration)
        both = [calibration] if varied is None else [calibration, varied]
        self.both_sketches = np.concatenate([part.sketch for part in both])
        self.both_grains = np.concatenate([part.grain for part in both]).astype(np.int64)
        self._embedding = np.concatenate([part.embedding for part in both])
        label = np.concatenate([part.label for part in both])
        index = np.searchsorted(classes, label)
        known = np.isin(label, classes)
        self._group = np.where(known, index + 1, 0)
        self._groups = len(classes) + 1

    def both(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return rows and those of their variations."""
        return rows if len(self.both_grains) == self._rows else np.r_[rows, rows + self._rows]

    def sketch(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the sketches of rows and of their variations."""
        return self.both_sketches[self.both(rows)]

    def distances(self, anchors: Anchors) -> NDArray[np.int64]:
        """Return the distances to the anchors of the answered class."""
        return anchors.distance(self._embedding, self._group)

    def coverage(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return how much of the input space windows of samples cover."""
        rows = slice(self._rows)
        return fit_coverage(self._embedding[rows], self._group[rows], self._groups, rng)

    def pooled(
        self,
        held_out: list[NDArray[np.intp]],
        score: NDArray[np.int64],
        tail: Callable[[NDArray[np.int64]], NDArray[np.int64]] = high_tail,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return scales and thresholds as `detectors.evidence.PooledTail` wants them."""
        rows = self.both(held_out[0])
        group, given = self._group[rows], score[rows]
        scale = np.empty((2, self._groups), np.int64)
        for index in range(self._groups):
            mine = given[group == index]
            scale[:, index] = _centre_and_spread(mine if len(mine) >= _FEW else given)
        standard = standardise(given, scale[0, group], scale[1, group])
        return scale, tail(standard)


def _centre_and_spread(score: NDArray[np.int64]) -> tuple[int, int]:
    """Return the median, and how far above it a sixth of the scores lies."""
    centre, high = np.quantile(score, [0.5, 0.84]).tolist()
    return round(centre), max(1, round(high - centre))


def _classes(label: NDArray[np.int32]) -> NDArray[np.int32]:
    found, counts = np.unique(label, return_counts=True)
    enough = (counts >= MIN_CLASS_SAMPLES) & (found >= 0)
    found, counts = found[enough], counts[enough]
    largest = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    return np.sort(found[largest]).astype(np.int32)


def _anchors_of(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return rows[: min(MAX_ANCHORS, int(len(rows) * ANCHOR_SHARE))]


def _near(
    code: NDArray[np.uint8], label: NDArray[np.int32], rows: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Tabulate the distances of pairs with the same answer and different content."""
    chosen = rows[:MAX_PAIRED]
    pairs = [_pairs(code[chosen[label[chosen] == c]]) for c in np.unique(label[chosen])]
    return low_tail(np.concatenate([*pairs, np.zeros(0, np.int64)]))


def _cross(
    code: NDArray[np.uint8],
    label: NDArray[np.int32],
    rows: NDArray[np.intp],
    everything: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Tabulate the distances of these samples to samples with another answer."""
    chosen, others = rows[:MAX_PAIRED], everything[:MAX_PAIRED]
    d2 = _squared_distances(code[chosen], code[others])
    return low_tail(d2[label[chosen][:, None] != label[others][None, :]])


def _pairs(code: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return all squared distances; zero is left out: the sample holds the same thing twice."""
    once = np.unique(code, axis=0)
    return _squared_distances(once, once)[np.triu_indices(len(once), 1)]


def _squared_distances(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    one, other = left.astype(np.float64), right.astype(np.float64)
    norms = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :]
    d2: NDArray[np.int64] = np.rint(norms - 2 * one @ other.T).astype(np.int64)
    return d2


def _grid(calibration: Calibration) -> NDArray[np.int64]:
    if calibration.grid is None:
        return np.array([calibration.view.shape[1], 0], np.int64)
    return calibration.grid


def _margin(calibration: Calibration, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    margin = calibration.margin[rows]
    return low_tail(margin[margin >= 0])


def _neighbourhood(code: NDArray[np.uint8], rows: NDArray[np.intp]) -> int:
    return int(np.quantile(_pairs(code[rows[:MAX_PAIRED]]), NEIGHBOURHOOD_SHARE))


def _summary(
    calibration: Calibration,
    classes: NDArray[np.int32],
    anchors: Anchors,
    held_out: list[NDArray[np.intp]],
) -> dict[str, object]:
    """Describe the profile for a report."""
    tail = [0.01, 0.1, 0.5, 0.9, 0.99]
    distances = np.concatenate(
        [
            anchors.distance(calibration.embedding[rows], np.full(len(rows), group, np.intp))
            for group, rows in enumerate(held_out)
            if group or len(held_out) == 1
        ]
    )
    margin = calibration.margin[calibration.margin >= 0]
    return {
        "samples": len(calibration),
        "classes": [int(label) for label in classes],
        "held_out": [len(rows) for rows in held_out],
        "smallest_p": float(max(TAIL_LEVELS[0], 1 / (1 + max(len(r) for r in held_out)))),
        "quantiles": tail,
        "far": _quantiles(distances, tail),
        "margin": _quantiles(margin, tail),
    }


def _quantiles(values: NDArray[np.integer], at: list[float]) -> list[float]:
    if not len(values):
        return []
    return [round(float(v) / FIXED_POINT_ONE, 5) for v in np.quantile(values, at)]
