"""Drills of a calibration: the encoder's view of harmless and hostile pseudo-clients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.answers import answers_of
from detectors.base import Segments
from detectors.batch import FIXED_POINT_ONE, Batch
from detectors.calibration import Calibration
from detectors.query.adjudicator import (
    DEPTH,
    Exercise,
    Trees,
    alarmed,
    calm_offsets,
    calmed,
    delay,
    no_trees,
)
from detectors.query.measure import Measure, Measured
from detectors.query.ring import AT_ONCE
from models.drills import Drill, Scene, harmless, hostile
from models.encoder import Features
from models.variations import Motion, vary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.profile import Profile
    from models.encoder import Encoder

#: Samples that are varied, and those that drills begin with.
MAX_VARIED = 20_000
MAX_SCENE = 2000
#: Queries that trees are fitted to, and trees.
MAX_JUDGED = 24_000
TREES = 50
#: Times that trees are fitted, and how much a false alarm counts for in the next one.
ROUNDS, _EMPHASIS = 4, 4.0
_CHUNK = 1024
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def harmless_variations(encoder: Encoder, x: NDArray[Any], seed: int) -> Calibration | None:
    """Return what is seen of variations of the samples, answered by the student.

    None if there are more samples than are worth the time.
    """
    student = encoder.student
    if student is None or len(x) > MAX_VARIED:
        return None
    rng = np.random.default_rng([seed, 3])
    parts = []
    for start in range(0, len(x), _CHUNK):
        values = encoder.reduce(x[start : start + _CHUNK])
        parts.append(vary(values, encoder.layout, Motion.at_random(len(values), rng), rng))
    varied = np.concatenate(parts)
    answers = answers_of(student.logits(varied).astype(np.float32), _unknown(len(varied)))
    seen = encoder.see(varied)
    return Calibration(
        sketch=seen.sketch,
        embedding=seen.embedding,
        grain=seen.grain,
        view=seen.view,
        label=answers.label,
        confidence=answers.confidence,
        margin=answers.margin,
    )


def drilled(encoder: Encoder, profile: Profile, x: NDArray[Any], seed: int) -> Profile:
    """Fit what tells a search from harmless likeness, and calm the other channels."""
    assert encoder.student is not None  # noqa: S101 - the caller has just fitted it
    scene = Scene(encoder.reduce(x[:MAX_SCENE]), encoder.layout, encoder.student)
    drills = [*harmless(scene, seed), *hostile(scene, seed)]
    exercises = exercises_of(encoder, profile, drills)
    trees = _fit_trees(exercises, seed)
    return replace(profile.with_trees(trees), odd_offset=calm_offsets(exercises))


def _fit_trees(exercises: Sequence[Exercise], seed: int) -> Trees:
    """Fit trees to half of the drills, and choose by the other half.

    Harmless clients that come near an alarm count for more in each round; the trees that find
    searches soonest are taken, once they have been calmed.
    """
    fitted, kept = exercises[::2], exercises[1::2]
    best, soonest, emphasis = no_trees(), np.inf, np.ones(len(fitted))
    if len({exercise.hostile for exercise in fitted}) < 2:
        return best
    for turn in range(ROUNDS):
        trees = _boosted(fitted, emphasis, seed + turn)
        emphasis *= 1 + _EMPHASIS * np.array([alarmed(trees, e) for e in fitted])
        calm = calmed(trees, kept)
        found = delay(calm, kept)
        if found < soonest:
            best, soonest = calm, found
    return best


def _boosted(exercises: Sequence[Exercise], emphasis: NDArray[np.float64], seed: int) -> Trees:
    """Boost small trees; but for ``emphasis``, each kind of drill counts the same."""
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415 - slow to import

    rows = [exercise.measured.features[exercise.judged] for exercise in exercises]
    owner = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    hostile_rows = np.array([exercise.hostile for exercise in exercises])[owner]
    kinds = np.array([exercise.kind for exercise in exercises])[owner]
    _, kind, size = np.unique(kinds, return_inverse=True, return_counts=True)
    side = np.array([len(np.unique(kinds[hostile_rows == bool(h)])) for h in (0, 1)])
    weight = emphasis[owner] * len(owner) / (2.0 * size[kind] * side[hostile_rows.astype(int)])
    chosen = np.random.default_rng(seed).permutation(len(owner))[:MAX_JUDGED]
    model = GradientBoostingClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=0.2, subsample=0.5,
        min_samples_leaf=20, random_state=seed,
    )  # fmt: skip
    features = np.concatenate(rows)[chosen]
    model.fit(features, hostile_rows[chosen], sample_weight=weight[chosen])
    parts = [_complete(estimator.tree_, model.learning_rate) for (estimator,) in model.estimators_]
    guilty = float(weight[chosen] @ hostile_rows[chosen])
    start = np.log(guilty / float(weight[chosen] @ ~hostile_rows[chosen]))
    base = np.array([round(start * FIXED_POINT_ONE)], np.int64)
    feature, bound, leaf = (np.stack(column) for column in zip(*parts, strict=True))
    return Trees(feature, bound, leaf, base)


def _complete(tree: Any, rate: float) -> tuple[NDArray[np.int64], ...]:
    """Fill a fitted tree up to `DEPTH`; a leaf higher up is repeated below."""
    inner = 2**DEPTH - 1
    feature, bound = np.zeros(inner, np.int64), np.zeros(inner, np.int64)
    leaf = np.zeros(inner + 1, np.int64)
    place = {0: 0}
    for node in range(2 * inner + 1):
        source = place[node]
        if node >= inner:
            leaf[node - inner] = round(rate * float(tree.value[source, 0, 0]) * FIXED_POINT_ONE)
        elif tree.children_left[source] < 0:
            place[2 * node + 1] = place[2 * node + 2] = source
        else:
            feature[node] = tree.feature[source]
            bound[node] = np.floor(tree.threshold[source])
            place[2 * node + 1] = tree.children_left[source]
            place[2 * node + 2] = tree.children_right[source]
    return feature, bound, leaf


def exercises_of(encoder: Encoder, profile: Profile, drills: Sequence[Drill]) -> list[Exercise]:
    """Measure drills as the detector would, each as a client of its own."""
    measure = Measure(profile, len(drills))
    batch = _batch(encoder, drills)
    lengths = [len(drill.x) for drill in drills]
    owner = np.repeat(np.arange(len(drills)), lengths)
    turn = np.concatenate([np.arange(length) // AT_ONCE for length in lengths])
    columns: list[NDArray[Any]] | None = None
    for index in range(int(turn.max()) + 1):
        rows = np.flatnonzero(turn == index)
        segments = Segments.of(rows, owner[rows])
        part, queries = measure.of(batch, segments)
        measure.ring.remember(segments, queries)
        if columns is None:
            columns = [np.empty((len(owner), *c.shape[1:]), c.dtype) for c in part]
        for column, values in zip(columns, part, strict=True):
            column[segments.order] = values
    assert columns is not None  # noqa: S101 - there are drills
    ends = np.cumsum(lengths)
    return [
        Exercise(drill.kind, drill.hostile, Measured(*(c[end - rows : end] for c in columns)))
        for drill, rows, end in zip(drills, lengths, ends.tolist(), strict=True)
    ]


def _batch(encoder: Encoder, drills: Sequence[Drill]) -> Batch:
    x = np.concatenate([drill.x for drill in drills])
    logits = np.concatenate([drill.logits for drill in drills])
    rows = len(x)
    answers = answers_of(logits.astype(np.float32), _unknown(rows))
    parts = [encoder.see(x[start : start + _CHUNK]) for start in range(0, rows, _CHUNK)]
    seen = Features(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    time_us = np.arange(rows, dtype=np.int64)
    same = np.unique(x, axis=0, return_inverse=True)[1]
    return Batch(
        model="drill",
        first_row=0,
        clients=("client",),
        time_us=time_us,
        watermark_us=time_us,
        client=np.zeros(rows, np.int32),
        label=answers.label,
        confidence=answers.confidence,
        margin=answers.margin,
        entropy=answers.entropy,
        log_odds=answers.log_odds,
        status=np.zeros(rows, np.int16),
        input_tokens=_unknown(rows),
        output_tokens=_unknown(rows),
        # Spread over the bits that the memory of repeats looks at.
        payload_hash=(same.reshape(-1).astype(np.uint64) + np.uint64(1)) * _SPREAD,
        scanned=np.ones(rows, np.bool_),
        sketch=seen.sketch,
        embedding=seen.embedding,
        grain=seen.grain,
        view=seen.view,
        interaction_id=str,
    )


def _unknown(rows: int) -> NDArray[np.int32]:
    return np.full(rows, -1, np.int32)
