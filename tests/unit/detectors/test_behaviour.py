"""What the detectors find, how soon, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from config.errors import ConfigError
from config.techniques import entries
from detectors.calibration import fit_profile
from detectors.registry import Kind
from detectors.suite import Suite
from detectors.testing import CLASSES, World, cut_into

if TYPE_CHECKING:
    from detectors.batch import Batch
    from detectors.finding import Finding
    from detectors.profile import Profile

WORLD = World.make(seed=8)


@cache
def suite_profile() -> Profile:
    return fit_profile(WORLD.calibration(3000))


def run(batch: Batch, *detectors: str, profile: bool = True) -> list[Finding]:
    suite = Suite(
        "toy",
        suite_profile() if profile else None,
        run_length_events=60_000,
        max_clients=2048,
        lateness_us=2_000_000,
        detectors=detectors or None,
    )
    found = [f for part in cut_into(batch, 500) for f in suite.observe(part).findings]
    return found + suite.finish()


def with_attacker(attack: np.ndarray) -> Batch:
    calm = WORLD.benign(1000, 20, seed=1)
    sketch, client = calm.sketch.copy(), calm.client.copy()
    rows = np.linspace(100, 900, len(attack)).astype(int)
    sketch[rows], client[rows] = attack, 20
    return WORLD.batch(sketch, client)


def test_a_search_round_one_input_is_evasion_within_seven_queries() -> None:
    rng = np.random.default_rng(0)
    base = WORLD.inputs(rng, np.array([1])).astype(int)
    attack = np.clip(base + rng.integers(-3, 4, (40, 49)), 0, 255).astype(np.uint8)
    found = run(with_attacker(attack), "query.pincer")
    assert {f.subject.ids for f in found} == {("client-20",)}
    assert found[0].kind == "evasion"
    assert found[0].events <= 7
    assert found[0].severity == "high"
    assert found[0].atlas[0].edition


def test_queries_from_nowhere_are_extraction_within_ten() -> None:
    attack = np.random.default_rng(0).choice([0, 255], (40, 49)).astype(np.uint8)
    found = run(with_attacker(attack), "query.pincer")
    assert (found[0].kind, found[0].subject.ids) == ("extraction", ("client-20",))
    assert found[0].events <= 10


def test_one_crossing_gives_one_finding_until_it_escalates() -> None:
    attack = np.random.default_rng(0).choice([0, 255], (200, 49)).astype(np.uint8)
    found = run(with_attacker(attack), "query.pincer")
    assert [f.evidence["escalation"] for f in found] == [1, 2, 3]
    assert len({f.id for f in found}) == 3


def test_a_client_that_only_repeats_itself_is_left_alone() -> None:
    odd = np.random.default_rng(0).choice([0, 255], (1, 49)).astype(np.uint8)
    batch = with_attacker(np.repeat(odd, 50, axis=0))
    payload = batch.payload_hash.copy()
    payload[batch.client == 20] = 9_999_999
    assert run(replace(batch, payload_hash=payload), "query.pincer") == []


@pytest.mark.parametrize("skew", [False, True])
def test_benign_clients_are_left_alone(skew: bool) -> None:
    rng = np.random.default_rng(3)
    client = rng.integers(0, 40, 8000).astype(np.int32)
    taste = rng.dirichlet([0.3] * CLASSES, 40) if skew else np.full((40, CLASSES), 1 / CLASSES)
    label = np.array([rng.choice(CLASSES, p=taste[c]) for c in client], np.int32)
    assert run(WORLD.batch(WORLD.inputs(rng, label), client), "query.pincer") == []


def test_without_a_profile_the_traffic_is_still_watched() -> None:
    calm = WORLD.benign(2000, 10, seed=1)
    client, time_us = calm.client.copy(), calm.time_us.copy()
    client[1000:1500] = 3
    time_us[1000:1500] = time_us[1000] + np.arange(500) * 500
    found = run(replace(calm, client=client, time_us=time_us), profile=False)
    assert [f.kind for f in found if f.evidence["escalation"] == 1] == ["burst"]
    assert found[0].subject.ids == ("client-3",)
    assert found[0].evidence["metric"] == "requests"


def test_a_population_that_loses_confidence_is_drift() -> None:
    calm = WORLD.benign(12_000, 50, seed=1, gap_us=20_000)
    confidence = calm.confidence.copy()
    confidence[6000:] = confidence[6000:] * 9 // 10
    found = run(replace(calm, confidence=confidence), "drift.confidence")
    assert {f.kind for f in found} == {"drift"}
    assert found[0].subject.type == "model"
    assert found[0].evidence["clients"] > 10
    assert found[0].evidence["confidence"] < found[0].evidence["own_confidence"]


def test_a_client_unlike_all_others_is_an_anomaly() -> None:
    calm = WORLD.benign(30_000, 40, seed=1, gap_us=25_000)
    status, tokens = calm.status.copy(), calm.input_tokens.copy()
    odd = (calm.client == 7) & (np.arange(30_000) > 15_000)
    status[odd], tokens[odd] = 429, 5000
    found = run(replace(calm, status=status, input_tokens=tokens), "windows.half_space")
    assert ("client-7",) in {f.subject.ids for f in found}
    assert {f.kind for f in found} == {"anomaly"}


def test_severity_rises_with_each_escalation() -> None:
    kind = Kind(severity="medium")
    assert [kind.severity_at(level) for level in (1, 2, 3, 4)] == [
        "medium",
        "high",
        "critical",
        "critical",
    ]


def test_invented_techniques_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"AML\.T9999"):
        entries("atlas", ("AML.T9999",))
