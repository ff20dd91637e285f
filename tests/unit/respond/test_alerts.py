"""Alerts say what a finding means, in bounded and harmless text."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import PoisonRecord
from detectors.finding import Subject
from streams.notify.webhook import MAX_BODY_BYTES, webhook_body
from streams.respond.alerts import MAX_INTERACTIONS, MAX_SUBJECTS, Alert, alert_id
from streams.respond.severity import SEVERITIES
from tests.unit.respond.samples import alert_of, finding


def test_the_same_finding_raises_the_same_alert():
    assert alert_of(finding()) == alert_of(finding())
    assert alert_of(finding()).id == alert_id(finding().id) != finding().id


def test_another_finding_raises_another_alert():
    assert alert_of(finding(id="a" * 32)).id != alert_of(finding(id="b" * 32)).id


def test_an_alert_reads_as_a_sentence():
    alert = alert_of(finding())
    assert alert.title == "Model extraction on digits"
    assert alert.summary == (
        "On model digits, client u1_mallory queries the model in the way that copies it: seen "
        "over 1,234 interactions since 2026-11-22T09:00:00.000000Z; one false alarm is expected "
        "in 60,000 benign events."
    )
    assert alert.runbook == "docs/runbooks.md#extraction"


@pytest.mark.parametrize(
    ("severity", "score"),
    [("info", 1), ("low", 21), ("medium", 47), ("high", 73), ("critical", 99)],
)
def test_risk_scores_follow_the_one_table(severity, score):
    assert alert_of(finding(severity=severity)).risk_score == score
    assert list(SEVERITIES) == ["info", "low", "medium", "high", "critical"]


def test_evidence_keeps_numbers_and_names_interactions_once():
    evidence = {
        "p": 0.5,
        "n": 3,
        "note": "text",
        "nothing": None,
        "bad": math.inf,
        "interactions": ["i1", "i2", "trigger"],
    }
    alert = alert_of(finding(evidence=evidence, trigger="trigger"))
    assert alert.evidence == {"p": 0.5, "n": 3}
    assert alert.interactions == ("trigger", "i1", "i2")


def test_a_campaign_names_its_size():
    ids = tuple(f"u1_{number}" for number in range(500))
    alert = alert_of(finding(kind="collusion", subject=Subject(type="campaign", ids=ids)))
    assert "a campaign of 500 clients acts together" in alert.summary
    assert len(alert.subject.ids) == MAX_SUBJECTS
    assert alert.subjects_total == 500


def test_times_come_in_one_form():
    assert alert_of(finding(time="2026-11-22T12:00:00+02:00")).time == "2026-11-22T10:00:00.000000Z"


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-22T10:00:00", "0001-01-01T00:00+20:00"])
def test_a_finding_without_a_proper_time_is_poison(time):
    with pytest.raises(PoisonRecord, match="bad_time"):
        alert_of(finding(time=time))


def test_an_unknown_kind_still_gets_words():
    assert alert_of(finding(kind="novel")).title == "Unusual behaviour on digits"


text = st.text(max_size=3000)


@given(
    model=text,
    client=text,
    kind=text,
    since=text,
    evidence=st.dictionaries(text, st.floats() | st.integers() | st.lists(text), max_size=5),
    count=st.integers(0, 100),
)
def test_hostile_names_stay_bounded_and_on_one_line(model, client, kind, since, evidence, count):
    alert = alert_of(
        finding(
            model=model,
            kind=kind,
            since=since,
            subject=Subject(type="client", ids=(client,) * count),
            evidence={**evidence, "interactions": [client] * count},
        )
    )
    for line in (alert.title, alert.summary, alert.model, alert.kind, *alert.subject.ids):
        assert not any(ord(char) < 32 or ord(char) in (0x7F, 0x202E, 0x2028) for char in line)
    assert len(alert.title) < 150
    assert len(alert.summary) < 600
    assert len(alert.interactions) <= MAX_INTERACTIONS
    assert len(webhook_body(alert)) < MAX_BODY_BYTES
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert
