"""Calibration: from a benign reference to a signed profile of one served model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from config.errors import ConfigError
from detectors.answers import answers_of
from detectors.calibration import MIN_CLASS_SAMPLES, Calibration, fit_profile
from detectors.evidence import tail_thresholds
from detectors.membership.keys import keys_of
from detectors.membership.members import fit_members
from detectors.profile import Profile
from detectors.query.adjudicator import no_trees
from detectors.query.exposure import no_exposure, round_exposure
from detectors.traffic.levels import fit_cohort
from models.encoder import Encoder
from models.exposure import train_exposure
from models.profiles import MEMBERS, save_profile, workspace, write_profile
from models.signing import ensure_keys, key_id
from models.view import view_grid
from streams.calibration_drills import drilled, harmless_variations
from streams.calibration_report import write_report
from streams.reference import Reference, read_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

#: The encoder learns from this share; distances are measured on the rest, which it never saw.
TRAINING_SHARE = 0.5
MAX_TRAINING_ROWS = 20_000
DAY_S = 86_400
#: Fewer members say nothing about chance.
MIN_MEMBERS = 20
MIN_ROWS = round(2 * MIN_CLASS_SAMPLES / (1 - TRAINING_SHARE))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOptions:
    """How a profile is made."""

    seed: int = 0
    #: Kept in the profile as a note; detection uses the setting in force when it runs.
    run_length_events: int = 60_000
    members: Path | None = None
    #: Directory of the signing keys; a pair is made if there is none.
    keys: Path


def calibrate(
    model: str,
    reference: Reference,
    out: Path,
    options: CalibrationOptions,
    progress: Callable[[str, float], None],
) -> Path:
    """Make, sign and store the profile of ``model``; return its directory.

    Raises
    ------
    ConfigError
        If the reference is too small or unfit; the text says why.
    """
    try:
        encoder, profile = _fit(reference, options, progress)
    except ValueError as error:
        raise ConfigError(f"the reference cannot be used: {error}") from None
    private, public = ensure_keys(options.keys)
    files = workspace(out)
    try:
        members = _write_members(files, encoder, reference, options)
        facts = _facts(reference, encoder, options)
        facts |= {"members": members, "key_id": key_id(public)}
        write_profile(files, model, encoder, profile, facts)
        progress("report", 0.5)
        write_report(files, model, profile, facts)
        return save_profile(out, model, files, private_key=private, public_key=public)
    finally:
        shutil.rmtree(files, ignore_errors=True)
        progress("report", 1.0)


def _fit(
    reference: Reference, options: CalibrationOptions, progress: Callable[[str, float], None]
) -> tuple[Encoder | None, Profile]:
    if reference.x is None or reference.scores is None:
        progress("profile", 0.0)
        return None, _traffic_profile(_traffic_only(reference))
    if len(reference.x) < MIN_ROWS:
        raise ConfigError(
            f"{len(reference.x)} inputs with scores are too few for a reference; give at least "
            f"{MIN_ROWS}"
        )
    order = np.random.default_rng(options.seed).permutation(len(reference.x))
    cut = min(int(len(order) * TRAINING_SHARE), MAX_TRAINING_ROWS)
    learnt, kept = np.sort(order[:cut]), np.sort(order[cut:])
    encoder = Encoder.fit(
        reference.x[learnt],
        reference.scores[learnt],
        seed=options.seed,
        progress=lambda share: progress("encoder", share),
    )
    progress("profile", 0.0)
    samples = _samples(encoder, reference, kept)
    trained = train_exposure(encoder, encoder.reduce(reference.x[learnt]), options.seed)
    profile = fit_profile(
        samples,
        options.seed,
        harmless_variations(encoder, reference.x[kept], options.seed),
        round_exposure(*trained),
    )
    progress("profile", 0.3)
    profile = drilled(encoder, profile, reference.x[kept], options.seed)
    if reference.traffic is not None:
        levels = fit_cohort(_traffic_only(reference))
        profile = replace(profile, burst_mean=levels.mean, burst_spread=levels.spread)
    progress("profile", 1.0)
    return encoder, profile


def _samples(encoder: Encoder, reference: Reference, rows: NDArray[np.intp]) -> Calibration:
    assert reference.x is not None  # noqa: S101 - narrows for mypy, the caller has checked
    assert reference.scores is not None  # noqa: S101
    label = np.full(len(rows), -1, np.int32)
    if reference.label is not None:
        label = reference.label[rows]
    answers = answers_of(reference.scores[rows], label)
    seen = encoder.features(reference.x[rows])
    return Calibration(
        sketch=seen.sketch,
        embedding=seen.embedding,
        grain=seen.grain,
        view=seen.view,
        grid=view_grid(encoder.layout),
        label=answers.label,
        confidence=answers.confidence,
        margin=answers.margin,
    )


def _traffic_only(reference: Reference) -> Calibration:
    traffic = reference.traffic
    if traffic is None:
        raise ConfigError("the reference holds neither inputs with scores nor traffic")
    rows = len(traffic.time_us)
    return Calibration(
        sketch=np.zeros((rows, 0), np.uint8),
        embedding=np.zeros((rows, 0), np.int8),
        grain=np.zeros(rows, np.int32),
        view=np.zeros((rows, 0), np.uint8),
        label=traffic.label,
        confidence=traffic.confidence,
        margin=traffic.margin,
        time_us=traffic.time_us,
        client=traffic.client,
        input_tokens=traffic.input_tokens,
        output_tokens=traffic.output_tokens,
        status=traffic.status,
    )


def _traffic_profile(traffic: Calibration) -> Profile:
    """Return a profile without anchors: nothing is known of inputs, only of who calls when."""
    unknown = tail_thresholds(np.zeros(0, np.int64))[None]
    no_scale = np.ones((2, 1), np.int64)
    levels = fit_cohort(traffic)
    return Profile(
        classes=np.zeros(0, np.int32),
        anchors=np.zeros((0, 0), np.int8),
        anchor_starts=np.zeros(2, np.int64),
        code_matrix=np.zeros((0, 0), np.int64),
        code_offset=np.zeros(0, np.int64),
        near_thresholds=unknown,
        cross_thresholds=unknown,
        far_scale=no_scale,
        far_thresholds=unknown[0],
        odd_offset=np.zeros(2, np.int64),
        margin_thresholds=tail_thresholds(traffic.margin[traffic.margin >= 0])[None],
        **{f"exposure_{name}": part for name, part in no_exposure(0)._asdict().items()},
        exposure_scale=no_scale,
        exposure_thresholds=unknown[0],
        shape_matrix=np.zeros((0, 0), np.int64),
        shape_offset=np.zeros(0, np.int64),
        shape_scale=no_scale,
        shape_thresholds=unknown[0],
        grain_scale=no_scale,
        grain_thresholds=unknown[0],
        tied_thresholds=unknown[0],
        coverage_thresholds=np.repeat(unknown, 2, axis=0),
        **{f"tree_{name}": part for name, part in no_trees()._asdict().items()},
        view_grid=np.zeros(2, np.int64),
        neighbourhood_d2=0,
        burst_mean=levels.mean,
        burst_spread=levels.spread,
        sketch_size=0,
        samples=len(traffic),
    )


def _write_members(
    files: Path, encoder: Encoder | None, reference: Reference, options: CalibrationOptions
) -> int:
    """Keep what members of the training set look like, never the members themselves."""
    path = options.members
    if path is None:
        return 0
    if encoder is None or reference.x is None:
        raise ConfigError("--members needs a reference with inputs and scores")
    x = read_arrays(path, "x")["x"]
    try:
        seen = encoder.features(x)
    except ValueError as error:
        raise ConfigError(f"{path} does not fit the reference: {error}") from None
    if len(x) < MIN_MEMBERS:
        raise ConfigError(f"{path} holds {len(x)} members; give at least {MIN_MEMBERS}")
    benign = encoder.features(reference.x[:MAX_TRAINING_ROWS])
    grid = view_grid(encoder.layout)
    keys, others = (keys_of(each.sketch, each.view, grid) for each in (seen, benign))
    members = fit_members(keys, others, options.seed)
    save_file(members.to_arrays(), files / MEMBERS)
    return len(x)


def _events_per_day(reference: Reference) -> float | None:
    """Return how much traffic the reference stands for, None if it does not say when it was."""
    if reference.traffic is None or len(reference.traffic.time_us) < 2:
        return None
    span_s = float(np.ptp(reference.traffic.time_us)) / 1e6
    return len(reference.traffic.time_us) / max(span_s, 1.0) * DAY_S


def _facts(
    reference: Reference, encoder: Encoder | None, options: CalibrationOptions
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "seed": options.seed,
        "run_length_events": options.run_length_events,
        "rows": reference.rows,
        "tensors": 0 if reference.x is None else len(reference.x),
        "traffic": reference.traffic is not None,
        "events_per_day": _events_per_day(reference),
        "versions": {name: version(name) for name in ("numpy", "torch", "safetensors")},
        "input": None,
    }
    if encoder is not None and reference.x is not None:
        facts["input"] = {"dtype": str(reference.x.dtype), "shape": list(encoder.shape)}
        facts["encoder_facts"] = encoder.facts
    return facts
