"""A small world of benign and hostile clients of a digits model, as a recording."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from detectors.answers import answers_of
from detectors.calibration import Calibration, fit_profile
from models.encoder import Encoder
from models.profiles import LoadedProfile
from streams.frames import INTERACTION_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = "digits"


@cache
def victim() -> tuple[MLPClassifier, NDArray[np.uint8]]:
    """Train the served model; return it and all images."""
    images, labels = load_digits(return_X_y=True)
    images = np.rint(images * 15.9375).astype(np.uint8)
    net = MLPClassifier((48,), max_iter=40, random_state=0, tol=0.02, n_iter_no_change=2).fit(
        images / 255, labels
    )
    return net, images


def scores_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the model's answers (n, 10)."""
    return np.asarray(victim()[0].predict_proba(images / 255), np.float32)


@cache
def profile() -> LoadedProfile:
    """Calibrate on the reference alone."""
    images = victim()[1]
    scores = scores_of(images)
    encoder = Encoder.fit(images.reshape(-1, 8, 8), scores, seed=0)
    seen = encoder.features(images)
    answers = answers_of(scores, np.full(len(images), -1, np.int32))
    fitted = fit_profile(
        Calibration(
            sketch=seen.sketch,
            embedding=seen.embedding,
            grain=seen.grain,
            view=seen.view,
            label=answers.label,
            confidence=answers.confidence,
            margin=answers.margin,
        ),
        seed=0,
    )
    return LoadedProfile(model=MODEL, encoder=encoder, profile=fitted, digest="test")


def recording(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Return traffic of 20 benign clients, two noise senders, two searchers and a flooder."""
    rng = np.random.default_rng(seed)
    _, images = victim()
    names = [f"benign-{n}" for n in range(20)] + ["noise-0", "noise-1", "search-0", "search-1"]
    names.append("flood")
    who = rng.choice(len(names), rows, p=[0.035] * 20 + [0.05] * 4 + [0.1])
    pictures = images[rng.integers(0, len(images), rows)]
    noise = (who == 20) | (who == 21)
    pictures[noise] = rng.integers(0, 256, (noise.sum(), 64), dtype=np.uint8)
    for searcher in (22, 23):
        mine = who == searcher
        start = images[searcher].astype(int) + rng.integers(-6, 7, (mine.sum(), 64))
        pictures[mine] = np.clip(start, 0, 255).astype(np.uint8)
    seconds = np.cumsum(rng.exponential(0.05, rows))
    return _frame(names, who, pictures, seconds)


def _frame(
    names: list[str], who: NDArray[Any], pictures: NDArray[np.uint8], seconds: NDArray[np.float64]
) -> pa.RecordBatch:
    scores = scores_of(pictures)
    rows: list[dict[str, Any]] = [
        {
            "id": f"events-{n % 4}-{n}-0",
            "time": BEGAN + timedelta(seconds=float(seconds[n])),
            "source": "events",
            "source_partition": int(who[n]) % 4,
            "source_offset": n,
            "source_index": 0,
            "tenant": "acme",
            "client": names[who[n]],
            "model": MODEL,
            "operation": "predict",
            "status": 200,
            "input": pictures[n].tobytes(),
            "input_shape": [8, 8],
            "input_dtype": "uint8",
            "scores": scores[n].tolist(),
            "label": int(scores[n].argmax()),
            "input_hash": pictures[n].tobytes()[:16],
        }
        for n in range(len(who))
    ]
    return pa.RecordBatch.from_pylist(rows, schema=INTERACTION_SCHEMA)
