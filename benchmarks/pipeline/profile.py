"""The profile that the roles run with, made by the real calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pipeline.plan import MODEL
from detectors.answers import answers_of
from streams.calibration import CalibrationOptions, calibrate
from streams.reference import Reference, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.pipeline.model import DigitsModel

_TRAFFIC_CLIENTS = 40


def make_profile(
    model: DigitsModel,
    out: Path,
    keys: Path,
    *,
    rows: int,
    per_client_rate: float,
    progress: Callable[[str, float], None],
) -> None:
    """Calibrate on pictures of ordinary clients and on when they call."""
    pictures = model.benign(rows, seed=1)
    scores = model.scores(pictures)
    reference = Reference(
        pictures,
        scores,
        np.full(len(pictures), -1, np.int32),
        _traffic(scores, rate=per_client_rate * _TRAFFIC_CLIENTS),
    )
    calibrate(MODEL, reference, out, CalibrationOptions(keys=keys), progress)


def _traffic(scores: NDArray[np.float32], *, rate: float) -> Traffic:
    rows = len(scores)
    rng = np.random.default_rng(2)
    answers = answers_of(scores, np.full(rows, -1, np.int32))
    none = np.full(rows, -1, np.int32)
    return Traffic(
        time_us=(np.arange(rows) * 1e6 / rate).astype(np.int64),
        client=rng.integers(0, _TRAFFIC_CLIENTS, rows).astype(np.int32),
        status=np.full(rows, 200, np.int16),
        input_tokens=none,
        output_tokens=none,
        label=answers.label,
        confidence=answers.confidence,
        margin=answers.margin,
    )
