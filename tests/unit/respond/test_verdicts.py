"""Verdicts grow with severity, end by event time, and never fall while a stronger one holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detectors.finding import Subject
from streams.respond.verdicts import VerdictBook, action_for, verdicts_of
from tests.unit.respond.samples import finding


def one(ttl_s=3600.0, **changes):
    (verdict,) = verdicts_of(finding(**changes), ttl_s=ttl_s, shadow=False)
    return verdict


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_verdict_ends_ttl_after_the_time_of_the_event():
    assert one(ttl_s=90, time="2026-11-22T10:00:00Z").until == "2026-11-22T10:01:30.000000Z"


@pytest.mark.parametrize(
    ("severity", "kind", "action"),
    [
        ("info", "extraction", None),
        ("low", "extraction", "watch"),
        ("medium", "evasion", "throttle"),
        ("high", "membership", "challenge"),
        ("critical", "extraction", "block"),
        ("critical", "burst", "throttle"),
        ("critical", "drift", "watch"),
        ("low", "burst", "watch"),
    ],
)
def test_the_action_follows_severity_and_kind(severity, kind, action):
    assert action_for(severity, kind) == action


def test_models_and_tenants_are_not_judged():
    for kind in ("model", "tenant"):
        subject = Subject(type=kind, ids=("digits",))
        assert verdicts_of(finding(subject=subject), ttl_s=1, shadow=True) == ()


def test_each_client_of_a_campaign_is_judged():
    subject = Subject(type="campaign", ids=("a", "b"))
    judged = verdicts_of(finding(subject=subject), ttl_s=1, shadow=True)
    assert [verdict.client for verdict in judged] == ["a", "b"]
    assert all(verdict.shadow for verdict in judged)


def test_a_milder_verdict_does_not_replace_a_stronger_one_that_holds():
    book = VerdictBook()
    strong = book.judge(one(severity="critical", time="2026-11-22T10:00:00Z"))
    assert book.judge(one(severity="low", time="2026-11-22T10:30:00Z")) == strong


def test_a_milder_verdict_follows_a_stronger_one_that_has_ended():
    book = VerdictBook()
    book.judge(one(severity="critical", time="2026-11-22T10:00:00Z"))
    assert book.judge(one(severity="low", time="2026-11-22T11:00:00Z")).action == "watch"


def test_an_older_finding_does_not_shorten_a_verdict():
    book = VerdictBook()
    newer = book.judge(one(time="2026-11-22T10:30:00Z"))
    assert book.judge(one(time="2026-11-22T10:00:00Z")).until == newer.until


def test_ended_verdicts_are_named_once():
    book = VerdictBook()
    book.judge(one(time="2026-11-22T10:00:00Z"))
    assert list(book.expire(at("2026-11-22T10:59:59"))) == []
    assert list(book.expire(at("2026-11-22T11:00:00"))) == ["u1_mallory"]
    assert list(book.expire(at("2026-11-22T12:00:00"))) == []


def test_a_prolonged_verdict_is_not_named_at_its_first_end():
    book = VerdictBook()
    book.judge(one(time="2026-11-22T10:00:00Z"))
    book.judge(one(time="2026-11-22T10:30:00Z"))
    assert list(book.expire(at("2026-11-22T11:00:00"))) == []
    assert list(book.expire(at("2026-11-22T11:30:00"))) == ["u1_mallory"]


def test_the_book_is_bounded():
    book = VerdictBook(capacity=3)
    for number in range(30):
        book.judge(one(subject=Subject(type="client", ids=(f"c{number}",))))
    assert len(book) == 3


def test_the_topic_is_taken_over_with_its_tombstones():
    book = VerdictBook()
    book.load("u1_mallory", one(severity="critical"))
    assert book.judge(one(severity="low")).action == "block"
    book.load("u1_mallory", None)
    assert book.judge(one(severity="low")).action == "watch"
