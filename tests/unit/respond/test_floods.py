"""Whatever comes, no finding is lost, state is bounded, and a restart changes nothing."""

from __future__ import annotations

import random
import time

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from config.respond import RespondSettings
from detectors.finding import Subject
from streams.respond.incidents import Incidents
from streams.respond.snapshot import dump, load
from streams.respond.verdicts import VerdictBook
from tests.unit.respond.samples import RULES, finding
from tests.unit.respond.world import World, at, at_us


def test_open_incidents_are_bounded_and_none_ends_in_silence():
    world = World(max_incidents=16)
    for number in range(100):
        world.find(number * 1000, model=f"m{number}")
    assert len(world.incidents.open) <= 16
    opened = {alert.incident for alert in world.alerts if alert.state == "opened"}
    ended = {alert.incident for alert in world.alerts if alert.state == "resolved"}
    assert len(opened) == 100
    assert opened - ended == {incident.id for incident in world.incidents.open.values()}


findings_strategy = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.integers(0, 8),
        st.sampled_from(["extraction", "burst", "anomaly"]),
        st.sampled_from(["low", "medium", "high", "critical"]),
        # Shorter than any window: what nobody was told of does not end unseen.
        st.integers(0, 850),
    ),
    max_size=60,
)


@given(findings_strategy, st.integers(0, 59))
@settings(max_examples=60, deadline=None)
def test_a_restored_worker_goes_on_as_if_never_stopped(items, cut):
    def findings():
        for number, (identity, client, kind, severity, seconds) in enumerate(items):
            yield finding(
                id=f"{identity}-{number // 2}",
                time=at(seconds),
                kind=kind,
                severity=severity,
                subject=Subject(type="client", ids=(f"u1_{client}",)),
            )

    whole = Incidents(RespondSettings())
    expected = [whole.take(item, RULES) for item in findings()]
    stopped = Incidents(RespondSettings())
    found = []
    for number, item in enumerate(findings()):
        if number == cut:
            saved = dump(stopped, VerdictBook(), {"t-0": 7})
            stopped = Incidents(RespondSettings())
            assert load(saved, stopped, VerdictBook()) == {"t-0": 7}
        found.append(stopped.take(item, RULES))
    assert msgspec.json.encode(found) == msgspec.json.encode(expected)


@given(findings_strategy)
@settings(max_examples=60, deadline=None)
def test_no_finding_is_lost(items):
    """Every new finding is counted by exactly one incident, which was told or is inhibited."""
    world = World()
    for number, (_, client, kind, severity, seconds) in enumerate(items):
        world.find(seconds, client=f"u1_{client}", kind=kind, severity=severity, id=f"n{number}")
    open_findings = sum(incident.findings for incident in world.incidents.open.values())
    ended = sum(alert.findings_total for alert in world.alerts if alert.state == "resolved")
    silent = [item for item in world.incidents.open.values() if item.told is None]
    assert open_findings + ended == len(items)
    assert all(item.key.rule == "anomaly" for item in silent)


def test_a_storm_with_ten_real_incidents_in_it_becomes_a_few_alerts():
    """60,000 of the million findings a minute; the whole million is benchmarks/respond/storm.py."""
    rng = random.Random(3)
    world = World()
    storm = [
        finding(
            id=f"s{number}",
            kind="burst",
            severity="medium",
            time=at(number * 60 / 60_000),
            subject=Subject(type="client", ids=(f"u1_{rng.randrange(24_000)}",)),
        )
        for number in range(60_000)
    ]
    hidden = {}
    for number in range(10):
        position = rng.randrange(60_000)
        hidden[f"real-{number}"] = position
        storm[position] = finding(
            id=f"real-{number}",
            kind="extraction",
            model=f"model-{number}",
            time=storm[position].time,
            subject=Subject(type="client", ids=(f"u1_thief_{number}",)),
        )
    clients = {item.subject.ids[0] for item in storm if item.kind == "burst"}
    started_s = time.perf_counter()
    alerts = [alert for item in storm for alert in world.incidents.take(item, RULES)]
    took_s = time.perf_counter() - started_s
    alerts += world.incidents.advance(at_us(7200), RULES)
    told = {alert.finding for alert in alerts if alert.state == "opened"}
    assert hidden.keys() <= told
    burst = [alert for alert in alerts if alert.kind == "burst"]
    assert len(burst) <= 8
    assert burst[-1].subjects_total == len(clients)
    assert burst[-1].findings_total == 60_000 - 10
    # 16,700 a second is what a million a minute needs; a loaded machine has room here.
    assert took_s < 12
