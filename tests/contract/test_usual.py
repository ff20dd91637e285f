"""Every detector says what its score usually is for the subject itself, and so does the alert.

One stream makes all registered detectors speak; one that is new has to be provoked here too.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from detectors.batch import Batch
from detectors.calibration import fit_profile
from detectors.membership.keys import keys_of
from detectors.membership.members import fit_members
from detectors.registry import Entry, registered
from detectors.suite import Suite
from detectors.testing import CLASSES, World, cut_into
from streams.respond.explain import explain, in_words

if TYPE_CHECKING:
    from detectors.finding import Finding

ROWS, CLIENTS, GAP_US = 30_000, 40, 25_000
HALF = ROWS // 2
PROBER, THIEF, FLOOD, BIAS, SCORER, SPENDER = range(6)
SPIES, STRANGERS = range(20, 30), range(30, 40)
#: About a model, not a client: what it was itself is what all clients together were.
OF_THE_MODEL = {"drift.confidence"}

WORLD = World.make(seed=8)
#: Silent for its first two hours: provoked in tests/unit/detectors/test_pools.py.
SLOW = {"traffic.pools"}
every_detector = pytest.mark.parametrize(
    "entry",
    [entry for entry in registered() if entry.name not in SLOW],
    ids=lambda entry: entry.name,
)


def asked(rng: np.random.Generator, client: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return what clients ask: all are benign in the first half."""
    sketch = WORLD.inputs(rng, rng.integers(0, CLASSES, ROWS).astype(np.int32))
    late = np.arange(ROWS) >= HALF
    prober, thief = late & (client == PROBER), late & (client == THIEF)
    around = sketch[prober][0].astype(np.int16)
    sketch[prober] = np.clip(around + rng.integers(-4, 5, (prober.sum(), 49)), 0, 255)
    sketch[thief] = rng.integers(0, 256, (thief.sum(), 49))
    spying = late & np.isin(client, SPIES) & (rng.random(ROWS) < 0.4)
    sketch[spying] = members[rng.integers(0, len(members), spying.sum())]
    foreign = late & np.isin(client, STRANGERS) & (rng.random(ROWS) < 0.3)
    sketch[foreign] = rng.choice([0, 255], (foreign.sum(), 49))
    return sketch


def stream(members: np.ndarray) -> Batch:
    """Return a calm half, and one in which every detector has something to find."""
    rng = np.random.default_rng(4)
    client = rng.integers(0, CLIENTS, ROWS).astype(np.int32)
    client[20_000:20_400] = FLOOD
    batch = WORLD.batch(asked(rng, client, members), client, gap_us=GAP_US)
    late, row = np.arange(ROWS) >= HALF, np.arange(ROWS)
    columns = {field.name: getattr(batch, field.name) for field in fields(batch)}
    time_us = batch.time_us.copy()
    time_us[20_000:20_400] = time_us[20_000] + np.arange(400) * 500
    columns |= {"time_us": time_us, "scored": client == SCORER}
    columns |= {"confidence": batch.confidence - late * 12_000}
    columns |= {"bias": np.where(client == BIAS, row + 1, 0).astype(np.uint64)}
    spending = late & (client == SPENDER)
    columns |= {"status": np.where(spending, 429, 200).astype(np.int16)}
    columns |= {"input_tokens": np.where(spending, 5000, -1).astype(np.int32)}
    fixed = late & ((client == BIAS) | (client == SCORER))
    columns |= {"payload_hash": np.where(fixed, 7, batch.payload_hash).astype(np.uint64)}
    return Batch(**columns)


def keys(sketch: np.ndarray) -> tuple[np.ndarray, ...]:
    return keys_of(sketch, sketch, np.array([49, 0]))


@cache
def found() -> list[Finding]:
    rng = np.random.default_rng(4)
    members = WORLD.inputs(rng, rng.integers(0, CLASSES, 4000).astype(np.int32))
    benign = WORLD.calibration(3000)
    kept = fit_members(keys(members), keys(benign.sketch), 0)
    suite = Suite(
        "toy",
        replace(fit_profile(benign), members=kept),
        run_length_events=20_000,
        max_clients=2048,
        lateness_us=2_000_000,
    )
    findings = [f for part in cut_into(stream(members), 700) for f in suite.observe(part).findings]
    return findings + suite.finish()


def of(entry: Entry) -> list[Finding]:
    return [finding for finding in found() if finding.detector == entry.name]


@every_detector
def test_a_detector_that_is_registered_is_provoked(entry: Entry) -> None:
    assert of(entry)


@every_detector
def test_each_finding_tells_the_subjects_own_usual(entry: Entry) -> None:
    for finding in of(entry):
        own = [name for name in finding.evidence if name.startswith("own_")]
        (score,) = {name.removeprefix("own_") for name in own} - {"over"}
        assert score == "log_e" or score in finding.evidence
        assert finding.evidence["own_over"] >= 0


@every_detector
def test_a_subject_with_a_calm_past_was_milder_than_what_is_found(entry: Entry) -> None:
    known = [finding for finding in of(entry) if finding.evidence["own_over"] > 0]
    assert known
    for finding in known:
        own = [item for item in explain(finding).comparisons if item.of == "own" and item.over]
        (usual,) = own
        assert abs(usual.seen - usual.usual) > 0
        if entry.name not in OF_THE_MODEL:
            assert usual.seen > usual.usual


@every_detector
def test_what_is_found_is_above_what_benign_clients_stay_below(entry: Entry) -> None:
    for finding in of(entry):
        bounds = [i for i in explain(finding).comparisons if i.bound and i.of == "cohort"]
        assert all(item.seen >= item.usual - 1e-3 for item in bounds)


@every_detector
def test_the_alert_tells_both_usuals_in_words(entry: Entry) -> None:
    for finding in of(entry):
        text = "\n".join(in_words(explain(finding)))
        assert "(own, " in text
        assert entry.name in OF_THE_MODEL or "(cohort)" in text
