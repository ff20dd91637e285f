"""What every registered detector must keep to; a new one is tested by being registered."""

from __future__ import annotations

import time
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from config.techniques import entries
from detectors.batch import Batch
from detectors.calibration import fit_profile
from detectors.registry import Entry, registered
from detectors.suite import Suite
from detectors.testing import World, cut_into

if TYPE_CHECKING:
    from detectors.profile import Profile

ROWS = 2600
RUN_LENGTH = 5000
every_detector = pytest.mark.parametrize("entry", registered(), ids=lambda entry: entry.name)


@cache
def world() -> World:
    return World.make(seed=3)


@cache
def profile() -> Profile:
    return fit_profile(world().calibration(1500))


def suite_of(entry: Entry, max_clients: int = 2048) -> Suite:
    return Suite(
        "toy",
        profile(),
        run_length_events=RUN_LENGTH,
        max_clients=max_clients,
        lateness_us=2_000_000,
        detectors=("query.pincer", entry.name),
    )


@cache
def hostile() -> Batch:
    """Benign clients, a prober round one input, a thief, a flood, a drift, odd clocks."""
    rng = np.random.default_rng(11)
    calm = world().benign(ROWS, 30, seed=12, gap_us=250_000)
    sketch, client = calm.sketch.copy(), calm.client.copy()
    prober, thief = client == 1, client == 2
    around = sketch[prober][0].astype(np.int16)
    sketch[prober] = np.clip(around + rng.integers(-4, 5, (prober.sum(), 49)), 0, 255)
    sketch[thief] = rng.integers(0, 256, (thief.sum(), 49))
    client[1500:1900] = 3
    batch = world().batch(sketch, client, gap_us=250_000)
    time_us = batch.time_us.copy()
    time_us[1500:1900] = time_us[1500] + np.arange(400) * 500
    jitter = rng.integers(-4_000_000, 1, ROWS)
    batch.confidence[:] = 52_000 + rng.integers(-3000, 3000, ROWS)
    batch.confidence[1300:] -= 12_000
    batch.status[::7] = 500
    columns = {field.name: getattr(batch, field.name) for field in fields(batch)}
    columns |= {"time_us": time_us + jitter, "watermark_us": time_us}
    columns |= {"bias": np.where(client == 4, np.arange(1, ROWS + 1), 0).astype(np.uint64)}
    columns |= {"scored": client == 5}
    columns["traits"] = np.stack([client % part for part in (2, 3, 5, 7, 30)], axis=1).astype("u8")
    columns["payload_hash"] = np.where((client == 4) | (client == 5), 7, batch.payload_hash)
    return Batch(**columns)


def findings_of(suite: Suite, batches: list[Batch], *, end: bool = True) -> bytes:
    found = [finding for batch in batches for finding in suite.observe(batch).findings]
    return msgspec.json.encode(found + (suite.finish() if end else []))


@cache
def reference(name: str) -> bytes:
    entry = next(entry for entry in registered() if entry.name == name)
    return findings_of(suite_of(entry), cut_into(hostile(), 512))


@every_detector
def test_findings_do_not_depend_on_how_the_stream_is_cut(entry: Entry) -> None:
    for sizes in ([1] * 200 + [7], 300, ROWS, [511, 2, 1024, 1]):
        assert findings_of(suite_of(entry), cut_into(hostile(), sizes)) == reference(entry.name)


@every_detector
def test_one_row_at_a_time_equals_the_whole(entry: Entry) -> None:
    part = hostile().cut(0, 700)
    single = findings_of(suite_of(entry), cut_into(part, 1))
    assert single == findings_of(suite_of(entry), [part])


@every_detector
def test_later_changes_of_the_input_reach_no_state(entry: Entry) -> None:
    first, second = cut_into(hostile(), ROWS // 2)
    columns = {field.name: getattr(first, field.name) for field in fields(first)}
    copied = {n: c.copy() if isinstance(c, np.ndarray) else c for n, c in columns.items()}
    suite = suite_of(entry)
    found = suite.observe(Batch(**copied)).findings
    for column in copied.values():
        if isinstance(column, np.ndarray):
            column[...] = 0
    found += suite.observe(second).findings + suite.finish()
    assert msgspec.json.encode(found) == reference(entry.name)


@every_detector
def test_what_is_unknown_is_no_evidence(entry: Entry) -> None:
    batch = hostile()
    unknown = np.full(ROWS, -1, np.int32)
    columns = {field.name: getattr(batch, field.name) for field in fields(batch)}
    columns |= dict.fromkeys(("label", "confidence", "margin", "entropy", "log_odds"), unknown)
    columns |= {"scanned": np.zeros(ROWS, np.bool_), "status": np.zeros(ROWS, np.int16)}
    columns |= {"bias": None, "scored": None}
    found = suite_of(entry).observe(Batch(**columns)).findings
    assert not [f for f in found if f.kind not in {"burst", "anomaly"}]


@every_detector
def test_late_and_repeated_rows_are_taken(entry: Entry) -> None:
    batch = hostile()
    columns = {field.name: getattr(batch, field.name) for field in fields(batch)}
    late = batch.time_us - 86_400_000_000
    suite = suite_of(entry)
    suite.observe(batch)
    again = Batch(**{**columns, "first_row": ROWS, "time_us": late})
    found = suite.observe(again).findings + suite.finish()
    assert all(finding.detector in {entry.name, "query.pincer"} for finding in found)
    assert suite.clients <= 31


@every_detector
def test_an_event_costs_less_than_a_tenth_of_a_millisecond(entry: Entry) -> None:
    calm = world().benign(8192, 1000, seed=33, gap_us=5000)
    suite = suite_of(entry)
    began_s = time.process_time()
    for batch in cut_into(calm, 2048):
        suite.observe(batch)
    assert (time.process_time() - began_s) / len(calm) < 1e-4


@every_detector
def test_a_restored_detector_goes_on_as_if_never_stopped(entry: Entry) -> None:
    found = []
    suite = suite_of(entry)
    for batch in cut_into(hostile(), 170):
        found += suite.observe(batch).findings
        saved = suite.snapshot()
        suite = suite_of(entry)
        suite.restore(saved)
    assert msgspec.json.encode(found + suite.finish()) == reference(entry.name)


@every_detector
def test_snapshots_hold_plain_arrays_that_later_rows_do_not_change(entry: Entry) -> None:
    suite = suite_of(entry)
    first, second = cut_into(hostile(), ROWS // 2)
    suite.observe(first)
    saved = suite.snapshot()
    before = {name: array.tobytes() for name, array in saved.items()}
    suite.observe(second)
    assert all(array.dtype != object for array in saved.values())
    assert {name: array.tobytes() for name, array in saved.items()} == before


@every_detector
def test_the_input_is_not_changed(entry: Entry) -> None:
    batch = hostile()
    before = _columns(batch)
    suite_of(entry).observe(batch)
    assert all(np.array_equal(before[name], column) for name, column in _columns(batch).items())


@every_detector
def test_state_is_bounded_with_ten_times_the_clients(entry: Entry) -> None:
    rows = 20_480
    crowd = world().batch(
        np.tile(hostile().sketch, (8, 1))[:rows], np.arange(rows, dtype=np.int32), gap_us=1000
    )
    suite = suite_of(entry)
    sizes = []
    for batch in cut_into(crowd, 2048):
        suite.observe(batch)
        sizes.append(sum(array.nbytes for array in suite.snapshot().values()))
    assert suite.clients <= 2048
    assert max(sizes[3:]) <= 1.3 * sizes[2]


@every_detector
def test_state_of_a_client_is_within_what_the_registry_says(entry: Entry) -> None:
    detector = entry.make(suite_of(entry)._context)
    assert detector.bytes_per_client <= entry.state_bytes


@every_detector
def test_benign_traffic_keeps_the_run_length(entry: Entry) -> None:
    rows = 20_000
    calm = world().benign(rows, 50, seed=21, gap_us=100_000)
    suite = suite_of(entry)
    found = [f for batch in cut_into(calm, 1000) for f in suite.observe(batch).findings]
    mine = [f for f in found if f.detector == entry.name and f.evidence["escalation"] == 1]
    # Four are expected at most; a Poisson variable of mean 4 exceeds 10 in 3 of 1,000.
    assert len(mine) <= 10


@every_detector
def test_taxonomy_ids_are_pinned(entry: Entry) -> None:
    for kind in entry.kinds.values():
        assert entries("atlas", kind.atlas)
        assert len(entries("owasp", kind.owasp)) == len(kind.owasp)


def test_the_hostile_stream_makes_the_detectors_speak() -> None:
    assert b'"evasion"' in reference("query.pincer")
    assert b'"extraction"' in reference("query.pincer")
    assert b'"burst"' in reference("traffic.burst")
    assert b'"drift"' in reference("drift.confidence")
    assert b'"bias"' in reference("requests.probes")
    assert b'"scores"' in reference("requests.probes")


def _columns(batch: Batch) -> dict[str, np.ndarray]:
    return {
        field.name: getattr(batch, field.name).copy()
        for field in fields(batch)
        if isinstance(getattr(batch, field.name), np.ndarray)
    }
