"""Members, campaigns and clients whose inputs drift."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from detectors.calibration import fit_profile
from detectors.campaign.accounts import FEW_LEVELS
from detectors.membership.keys import keys_of
from detectors.membership.members import Members, Search, fit_members
from detectors.suite import Suite
from detectors.testing import CLASSES, World, cut_into

WORLD = World.make(seed=8)


def keys(sketch: np.ndarray) -> tuple[np.ndarray, ...]:
    return keys_of(sketch, sketch, np.array([49, 0]))


@cache
def members() -> tuple[np.ndarray, Members]:
    rng = np.random.default_rng(4)
    label = rng.integers(0, CLASSES, 4000).astype(np.int32)
    sketch = WORLD.inputs(rng, label)
    benign = WORLD.calibration(1000)
    held = fit_members(keys(sketch), keys(benign.sketch), 0)
    return sketch, held


@cache
def profile():
    return replace(fit_profile(WORLD.calibration(3000)), members=members()[1])


def run(sketch: np.ndarray, client: np.ndarray, detector: str):
    suite = Suite(
        "toy",
        profile(),
        run_length_events=60_000,
        max_clients=2048,
        lateness_us=0,
        detectors=("query.pincer", detector),
    )
    batch = WORLD.batch(sketch, client)
    found = [f for part in cut_into(batch, 500) for f in suite.observe(part).findings]
    return [f for f in found + suite.finish() if f.detector == detector]


def mixed(hostile: np.ndarray, clients: int, share: float, accounts: int = 10):
    """Benign clients, and the last ones a share of whose queries is hostile."""
    rng = np.random.default_rng(0)
    rows = 40 * clients
    client = rng.permutation(np.repeat(np.arange(clients), 40)).astype(np.int32)
    sketch = WORLD.inputs(rng, rng.integers(0, CLASSES, rows).astype(np.int32))
    theirs = (client >= clients - accounts) & (rng.random(rows) < share)
    sketch[theirs] = hostile[rng.integers(0, len(hostile), theirs.sum())]
    return sketch, client


def test_members_and_noisy_members_have_low_ratios() -> None:
    sketch, held = members()
    noisy = (sketch[:200] + np.random.default_rng(0).integers(-2, 3, (200, 49))).astype(np.uint8)
    others = WORLD.calibration(200, seed=9)
    search = Search(held)
    member, near, other = (search.ratios(keys(x)) for x in (sketch[:200], noisy, others.sketch))
    assert (member[:, 0] == 0).all()
    assert np.median(near[:, 0]) < np.quantile(other[:, 0], 0.1)


def test_ratios_do_not_depend_on_what_stands_beside() -> None:
    _, held = members()
    others = WORLD.calibration(64, seed=9)
    search = Search(held)
    whole = search.ratios(keys(others.sketch))
    single = [search.ratios(keys(others.sketch[i : i + 1])) for i in range(64)]
    assert np.array_equal(whole, np.concatenate(single))


def test_clients_that_ask_about_members_are_found() -> None:
    sketch, client = mixed(members()[0], 40, 0.4)
    found = run(sketch, client, "membership.probing")
    clients = {f.subject.ids[0] for f in found}
    assert len(clients) >= 9
    assert clients <= {f"client-{index}" for index in range(30, 40)}
    assert {f.kind for f in found} == {"membership"}


def test_a_share_of_foreign_inputs_is_drift_of_a_client() -> None:
    foreign = np.random.default_rng(0).choice([0, 255], (500, 49)).astype(np.uint8)
    sketch, client = mixed(foreign, 40, 0.25)
    found = run(sketch, client, "drift.inputs")
    clients = {f.subject.ids[0] for f in found}
    assert len(clients) >= 7
    assert clients <= {f"client-{index}" for index in range(30, 40)}
    assert {(f.kind, f.subject.type) for f in found} == {("drift", "client")}


def test_accounts_that_are_odd_together_are_a_campaign() -> None:
    foreign = np.random.default_rng(0).choice([0, 255], (500, 49)).astype(np.uint8)
    sketch, client = mixed(foreign, 200, 0.5)
    found = run(sketch, client, "campaign.accounts")
    assert found
    assert {(f.kind, f.subject.type) for f in found} == {("collusion", "campaign")}
    assert set(found[-1].subject.ids) == {f"client-{index}" for index in range(190, 200)}


def test_eight_accounts_among_many_are_a_campaign_too() -> None:
    foreign = np.random.default_rng(0).choice([0, 255], (500, 49)).astype(np.uint8)
    sketch, client = mixed(foreign, 1000, 0.4, accounts=8)
    found = run(sketch, client, "campaign.accounts")
    assert set(found[-1].subject.ids) == {f"client-{index}" for index in range(992, 1000)}
    assert found[-1].evidence["suspicion"] in FEW_LEVELS


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_calm_or_a_changed_population_is_no_campaign(share: float) -> None:
    rng = np.random.default_rng(1)
    rows = 12_000
    client = rng.integers(0, 300, rows).astype(np.int32)
    sketch = WORLD.inputs(rng, rng.integers(0, CLASSES, rows).astype(np.int32))
    foreign = rng.choice([0, 255], (rows, 49)).astype(np.uint8)
    assert run(np.where(rng.random((rows, 1)) < share, foreign, sketch), client,
               "campaign.accounts") == []  # fmt: skip


def test_a_campaign_too_large_for_one_finding_is_told_in_several(monkeypatch) -> None:
    monkeypatch.setattr("detectors.campaign.accounts.MAX_NAMED", 4)
    foreign = np.random.default_rng(0).choice([0, 255], (500, 49)).astype(np.uint8)
    sketch, client = mixed(foreign, 200, 0.5)
    found = run(sketch, client, "campaign.accounts")
    last = [f for f in found if f.evidence["accounts"] == found[-1].evidence["accounts"]]
    assert [len(f.subject.ids) for f in last[-3:]] == [4, 4, 2]
    named = [name for f in last[-3:] for name in f.subject.ids]
    assert sorted(named) == sorted(f"client-{index}" for index in range(190, 200))
    assert len({f.id for f in found}) == len(found)
