"""Floods of many quiet clients: who is named, once, and what is no flood."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.batch import TRAITS
from detectors.suite import Suite
from detectors.testing import START_US, World, cut_into

if TYPE_CHECKING:
    from detectors.batch import Batch
    from detectors.finding import Finding

HOURS = 3
CLIENTS, ACCOUNTS = 40, 60
BEGINS_S = 2.75 * 3600
NETWORK = TRAITS.index("network")


def suite() -> Suite:
    return Suite(
        "toy",
        None,
        run_length_events=60_000,
        max_clients=2048,
        lateness_us=2_000_000,
        detectors=("traffic.pools",),
    )


def run(batch: Batch, sizes: list[int] | int = 2000) -> list[Finding]:
    running = suite()
    return [f for part in cut_into(batch, sizes) for f in running.observe(part).findings]


def stream(seconds: np.ndarray, client: np.ndarray, traits: np.ndarray | None) -> Batch:
    order = np.argsort(seconds, kind="stable")
    rows = len(order)
    batch = World.make(seed=5).batch(np.zeros((rows, 49), np.uint8), client[order])
    time_us = START_US + (seconds[order] * 1e6).astype(np.int64)
    known = None if traits is None else traits[client[order]]
    return replace(batch, time_us=time_us, watermark_us=time_us, traits=known)


def calm(seed: int, growth: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Clients that together send two requests a second, and maybe more from hour to hour."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.uniform(0, HOURS * 3600, HOURS * 7200))
    kept = rng.random(len(seconds)) < (1 + growth * seconds / (HOURS * 3600)) / (1 + growth)
    return seconds[kept], rng.integers(0, CLIENTS, int(kept.sum()))


def traits_of(clients: int, seed: int, network: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    traits = rng.integers(1, 7, (clients, len(TRAITS))).astype(np.uint64)
    if network is not None:
        traits[:, NETWORK] = network
    return traits


@cache
def flooded() -> Batch:
    rng = np.random.default_rng(2)
    seconds, client = calm(1)
    sent = ACCOUNTS * 15
    when = BEGINS_S + rng.uniform(0, 300, sent)
    who = CLIENTS + rng.integers(0, ACCOUNTS, sent)
    traits = np.concatenate([traits_of(CLIENTS, 3), traits_of(ACCOUNTS, 4, network=77)])
    return stream(np.r_[seconds, when], np.r_[client, who], traits)


@cache
def found_at_once() -> tuple[Finding, ...]:
    return tuple(run(flooded()))


def test_a_flood_from_one_network_is_one_campaign_within_20_seconds() -> None:
    found = found_at_once()
    first = found[0]
    began_us = int(START_US + BEGINS_S * 1e6)
    assert (first.kind, first.subject.type) == ("burst", "campaign")
    assert first.evidence["pool"] == "network"
    assert first.evidence["own_active"] < 0.1 * first.evidence["active"]
    assert _seconds_after(first, began_us) <= 20
    assert len({f.since for f in found}) == 1
    assert len({f.id for f in found}) == len(found) <= 6


def test_its_accounts_are_named_and_hardly_anyone_else() -> None:
    named = {one for finding in found_at_once() for one in finding.subject.ids}
    accounts = {f"client-{CLIENTS + index}" for index in range(ACCOUNTS)}
    assert len(named & accounts) >= 0.8 * ACCOUNTS
    assert len(named - accounts) <= 2


def test_a_flood_is_found_the_same_however_the_stream_is_cut() -> None:
    whole = msgspec.json.encode(found_at_once())
    assert whole != b"[]"
    assert msgspec.json.encode(run(flooded(), [1000, 1, 7, 333])) == whole


def test_a_restored_detector_finds_the_same_flood() -> None:
    running, found = suite(), []
    for part in cut_into(flooded(), 3000):
        found += running.observe(part).findings
        saved = running.snapshot()
        running = suite()
        running.restore(saved)
    assert msgspec.json.encode(found) == msgspec.json.encode(found_at_once())


def test_without_traits_a_flood_that_doubles_all_traffic_is_found() -> None:
    rng = np.random.default_rng(2)
    seconds, client = calm(1)
    when = BEGINS_S + rng.uniform(0, 120, 1200)
    who = CLIENTS + rng.integers(0, 300, 1200)
    found = run(stream(np.r_[seconds, when], np.r_[client, who], None))
    assert found[0].evidence["pool"] == "model"


def test_one_client_is_no_campaign_however_much_it_sends() -> None:
    rng = np.random.default_rng(2)
    seconds, client = calm(1)
    when = BEGINS_S + rng.uniform(0, 120, 3000)
    traits = np.concatenate([traits_of(CLIENTS, 3), traits_of(1, 4, network=77)])
    everything = np.r_[client, np.full(3000, CLIENTS)]
    assert run(stream(np.r_[seconds, when], everything, traits)) == []


def test_a_population_that_grows_threefold_in_hours_is_no_flood() -> None:
    seconds, client = calm(6, growth=2.0)
    assert run(stream(seconds, client, traits_of(CLIENTS, 3))) == []


def test_a_clock_that_jumps_a_week_is_no_flood() -> None:
    seconds, client = calm(1)
    late = seconds > BEGINS_S
    seconds = np.where(late, seconds + 7 * 86_400, seconds)
    assert run(stream(seconds, client, traits_of(CLIENTS, 3))) == []


def _seconds_after(finding: Finding, began_us: int) -> float:
    row = int(finding.trigger.removeprefix("i-"))
    return (int(flooded().time_us[row]) - began_us) / 1e6
