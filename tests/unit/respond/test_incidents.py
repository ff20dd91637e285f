"""An incident opens, is news, reminds and ends, each with a named reason and exact counts."""

from __future__ import annotations

import pytest

from detectors.finding import Subject
from streams.respond.times import event_time, microseconds
from tests.unit.respond.samples import RULES
from tests.unit.respond.world import World, decisions


def test_the_first_finding_opens_and_alerts_at_once():
    world = World()
    assert world.find() == ["opened"]
    (alert,) = world.alerts
    assert (alert.state, alert.sequence, alert.findings_total) == ("opened", 1, 1)
    assert alert.rule == "extraction"


def test_more_of_the_same_is_no_news_and_is_counted():
    world = World()
    before = decisions("no_news")
    world.find()
    for second in range(1, 50):
        assert world.find(second) == []
    assert decisions("no_news") == before + 49
    world.wait(3600)
    assert world.alerts[-1].findings_total == 50


def test_a_higher_severity_and_much_more_evidence_are_news():
    world = World()
    assert world.find(0, severity="medium", log_e=12) == ["opened"]
    assert world.find(1, severity="high", log_e=13) == ["severity_rose"]
    assert world.find(2, severity="high", log_e=20) == []
    assert world.find(3, severity="high", log_e=40) == ["evidence_grew"]
    assert [alert.state for alert in world.alerts] == ["opened", "escalated", "escalated"]
    assert len({alert.incident for alert in world.alerts}) == 1
    assert [alert.sequence for alert in world.alerts] == [1, 2, 3]
    assert [moment.what for moment in world.alerts[-1].timeline] == [
        "opened",
        "severity_rose",
        "evidence_grew",
    ]


def test_a_repeated_finding_counts_once():
    world = World()
    before = decisions("duplicate")
    world.find(id="same")
    assert world.find(id="same") == []
    assert decisions("duplicate") == before + 1
    (incident,) = world.incidents.open.values()
    assert incident.findings == 1


def test_other_clients_models_and_techniques_are_other_incidents():
    world = World()
    world.find()
    world.find(client="u1_b")
    world.find(model="iris")
    world.find(kind="evasion")
    assert [alert.reason for alert in world.alerts] == ["opened"] * 4
    assert len({alert.incident for alert in world.alerts}) == 4


def test_an_incident_ends_after_a_quiet_window_of_event_time():
    world = World()
    world.find(0)
    world.find(600)
    assert world.wait(600 + 1799) == []
    assert world.wait(600 + 1800) == ["resolved"]
    alert = world.alerts[-1]
    assert alert.state == "resolved"
    assert alert.title.startswith("Ended: ")
    assert alert.findings_total == 2
    assert not world.incidents.open


def test_what_returns_is_a_new_incident_that_knows_of_the_earlier_ones():
    world = World()
    world.find(0)
    world.wait(3600)
    world.find(7200)
    first, _, again = world.alerts
    assert again.incident != first.incident
    assert again.earlier_incidents == 1
    assert again.risk_score > first.risk_score
    assert "1 times before" in again.summary


def test_a_late_finding_opens_an_incident_that_lives_as_long_as_any():
    world = World()
    world.find(10_000, client="u1_b", model="other")
    assert world.find(0) == ["opened"]
    assert world.wait(10_000 + 1799) == []


def test_an_unacknowledged_incident_reminds_and_an_acknowledged_one_does_not():
    world = World()
    for second in range(0, 15_000, 600):
        world.find(second)
    assert [alert.reason for alert in world.alerts] == ["opened", "still_firing"]
    world.incidents.acknowledge(world.alerts[0].incident, "ann")
    before = decisions("acknowledged")
    for second in range(15_000, 40_000, 600):
        world.find(second)
    assert len(world.alerts) == 2
    assert decisions("acknowledged") > before
    assert world.find(40_000, severity="critical") == ["severity_rose"]


@pytest.mark.parametrize(
    ("reason", "says"), [("closed_by_analyst", "has closed it"), ("false_positive", "a false")]
)
def test_an_analyst_closes_an_incident(reason, says):
    world = World()
    world.find(0)
    (alert,) = world.alerts
    (closed,) = world.incidents.close(alert.incident, RULES, reason)
    assert (closed.state, closed.incident, closed.reason) == ("resolved", alert.incident, reason)
    assert says in closed.summary
    assert world.incidents.close(alert.incident, RULES, reason) == []


def test_an_incident_keeps_little_of_a_huge_finding():
    world = World()
    ids = tuple(f"u1_{number}" for number in range(24_000))
    evidence = {f"n{number}": number for number in range(5000)}
    world.find(kind="collusion", subject=Subject(type="campaign", ids=ids), evidence=evidence)
    (incident,) = world.incidents.open.values()
    assert len(incident.strongest.evidence) == 64
    assert len(incident.strongest.subject.ids) == 32
    assert world.alerts[0].subjects_total == 24_000


def test_event_times_in_every_zone_are_one_clock():
    world = World()
    world.find(time="2026-11-22T12:00:00+02:00")
    assert world.incidents.watermark_us == microseconds(event_time("2026-11-22T10:00:00Z"))
