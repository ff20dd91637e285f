"""Preparation: a model to serve, what ordinary traffic looks like, and a profile of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from models.batching import BatchLimits, MicroBatcher
from models.nets.digits import digits_architecture, digits_data, train_digits
from models.registry import Registry
from streams.calibration import CalibrationOptions, calibrate
from streams.demo.cast import Loot
from streams.demo.clients import (
    Population,
    Traffic,
    make_population,
    peak_rate_per_s,
    simulate,
)
from streams.demo.reference import ReferencePictures, pseudonyms_of, write_reference
from streams.demo.transport import Signature
from streams.identity import load_pseudonyms
from streams.reference import read_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from config.settings import Settings
    from streams.demo.attacks.target import Images

CLIENTS = 250
ORDINARY_RATE_PER_S = 100.0
#: The 1,797 digits: the model learns from the first, Vedette from the next, ordinary clients
#: ask about the next, and the attackers have the rest. Nobody shares.
TRAINING_PICTURES = 450
REFERENCE_PICTURES = 800
ORDINARY_PICTURES = 400
#: Long enough for several blocks of the burst detector.
REFERENCE_S = 2400.0
SHAPE = (8, 8)
#: Seeds of the independent parts of a demo.
_POPULATION, _REFERENCE, _PLAY = range(3)


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the play needs."""

    signature: Signature
    population: Population
    traffic: Traffic
    pictures: Images
    loot: Loot
    usual_peak_per_s: float
    accuracy: float


def prepare(settings: Settings, seconds: float, seed: int, told: Callable[[str], None]) -> Stage:
    """Train and register the model, record ordinary traffic, calibrate, and plan the play.

    Parameters
    ----------
    settings
        Of the demo's own home.
    seconds
        How long the play will be.
    seed
        Of everything.
    told
        Told what is being done.
    """
    told("training and signing a digits classifier")
    architecture = digits_architecture()
    module, accuracy = train_digits(seed, rows=TRAINING_PICTURES)
    Registry(settings.models, settings.home / "keys").register(architecture, module.state_dict())
    pictures, _, _ = digits_data(seed)
    scores = _answers(module, pictures * np.float32(architecture.input_scale))
    parts = _parts(len(pictures))

    told("simulating a quiet day of ordinary traffic")
    population = make_population(CLIENTS, ORDINARY_RATE_PER_S, _rng(seed, _POPULATION))
    reference = parts["reference"]
    quiet = simulate(
        population, scores[reference].argmax(axis=1), REFERENCE_S, _rng(seed, _REFERENCE)
    )
    answered = pictures[reference], scores[reference]
    _calibrate(settings, architecture.name, quiet, population, answered, seed, told)
    ordinary = parts["ordinary"]
    traffic = simulate(population, scores[ordinary].argmax(axis=1), seconds, _rng(seed, _PLAY))
    return Stage(
        signature=Signature(architecture.name, "image", SHAPE, "UINT8"),
        population=population,
        traffic=traffic,
        pictures=_as_images(pictures[ordinary]),
        loot=Loot(
            pictures=_as_images(pictures[parts["attackers"]]),
            scores=scores[parts["attackers"]],
            unseen=_as_images(pictures[ordinary]),
            answers=scores[ordinary].argmax(axis=1),
        ),
        usual_peak_per_s=peak_rate_per_s(quiet),
        accuracy=accuracy,
    )


def _parts(count: int) -> dict[str, slice]:
    """Cut the pictures into parts that share none."""
    reference = TRAINING_PICTURES + REFERENCE_PICTURES
    ordinary = reference + ORDINARY_PICTURES
    return {
        "reference": slice(TRAINING_PICTURES, reference),
        "ordinary": slice(reference, ordinary),
        "attackers": slice(ordinary, count),
    }


def _calibrate(
    settings: Settings,
    model: str,
    quiet: Traffic,
    population: Population,
    answered: tuple[NDArray[np.uint8], NDArray[np.float32]],
    seed: int,
    told: Callable[[str], None],
) -> None:
    """Record the quiet day and make a profile of it, as `vedette calibrate` does."""
    pseudonyms = load_pseudonyms(settings)
    pictures, scores = answered
    path = settings.home / "reference.parquet"
    write_reference(
        path,
        model,
        quiet,
        pseudonyms_of(population, lambda name: pseudonyms.of("client", name)),
        ReferencePictures(pictures.reshape(-1, *SHAPE), scores, pseudonyms),
        datetime.now(UTC) - timedelta(days=1),
    )
    told(f"calibrating on {len(quiet):,} interactions")
    options = CalibrationOptions(
        seed=seed,
        run_length_events=settings.detect.run_length_events,
        keys=settings.home / "keys",
    )
    calibrate(
        model, read_reference(path, model), settings.profiles, options, lambda _stage, _share: None
    )


def _answers(module: Callable[..., Any], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities that the served model will answer."""
    limits = BatchLimits(max_rows=256, max_bytes=64 << 20, max_delay_s=0.0)
    batcher = MicroBatcher(module, limits, device="cpu")
    try:
        logits = batcher.submit(inputs).result().astype(np.float64)
    finally:
        batcher.close()
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), np.float32)


def _as_images(pictures: NDArray[np.uint8]) -> Images:
    return (pictures.astype(np.float32) / np.float32(255)).reshape(-1, *SHAPE)


def _rng(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])
