"""Verdicts grow with severity, end by event time, and never fall while a stronger one holds."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import pytest

from config.respond import RespondSettings
from detectors.finding import Subject
from streams.identity import Pseudonyms
from streams.respond.policy import VerdictPolicy, action_for, secret_chance
from streams.respond.verdicts import Verdict, VerdictBook
from streams.rules.fallback import FALLBACK
from tests.unit.respond.samples import RULES, finding


def policy(chance=0.0, **settings):
    settings = {"verdict_delay_s": 0.0, "verdict_shadow": False, **settings}
    return VerdictPolicy(RespondSettings(**settings), lambda _: chance)


def judged(book=None, chance=0.0, settings=None, **changes):
    changes = {"log_e": 40.0, **changes}
    item = finding(**changes)
    rule, _ = RULES.take(item)
    book = VerdictBook() if book is None else book
    return policy(chance, **(settings or {})).verdicts(item, rule, book)


def one(ttl_s=3600.0, **changes):
    (verdict,) = judged(settings={"verdict_ttl_s": ttl_s}, **changes)
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
        ("critical", "never heard of", "watch"),
        ("low", "burst", "watch"),
    ],
)
def test_the_action_follows_severity_and_the_ceiling_of_the_rule(severity, kind, action):
    item = finding(severity=severity, kind=kind, log_e=40.0)
    rule, _ = RULES.take(item)
    assert action_for(item, rule.response) == action


@pytest.mark.parametrize(
    ("log_e", "action"),
    [(0.0, "watch"), (6.0, "throttle"), (9.0, "challenge"), (17.0, "block"), (math.nan, "watch")],
)
def test_strong_actions_need_strong_evidence(log_e, action):
    item = finding(severity="critical", log_e=log_e, run_length=60_000)
    assert action_for(item, "block") == action


def test_who_offends_again_gets_the_next_stronger_and_twice_as_long():
    book = VerdictBook()
    (first,) = judged(book, severity="medium", time="2026-11-22T10:00:00Z")
    assert list(book.expire(at("2026-11-22T11:00:00"))) == ["u1_mallory"]
    (second,) = judged(book, id="2", severity="medium", time="2026-11-22T12:00:00Z")
    assert (first.action, first.offence) == ("throttle", 1)
    assert (second.action, second.offence) == ("challenge", 2)
    assert second.until == "2026-11-22T14:00:00.000000Z"


def test_a_verdict_begins_later_at_a_moment_that_nobody_can_foresee():
    settings = {"verdict_delay_s": 100.0, "verdict_ttl_s": 60.0}
    (verdict,) = judged(chance=0.25, settings=settings, time="2026-11-22T10:00:00Z")
    assert verdict.effective == "2026-11-22T10:00:25.000000Z"
    assert verdict.until == "2026-11-22T10:01:25.000000Z"


def test_the_delay_is_the_same_again_and_different_for_others():
    chance = secret_chance(Pseudonyms(b"k" * 32).of)
    other_key = secret_chance(Pseudonyms(b"o" * 32).of)
    numbers = {chance(f"finding-{number}") for number in range(100)}
    assert all(0 <= number < 1 for number in numbers)
    assert len(numbers) == 100
    assert chance("finding-1") in numbers
    assert other_key("finding-1") not in numbers


def test_who_is_on_the_allow_list_is_never_judged():
    assert judged(settings={"verdict_allow": ("u1_mallory",)}) == []
    assert judged(settings={"verdict_allow_tenants": ("t1",)}) == []
    assert judged(settings={"verdict_allow": ("u1_other",)}) != []


def test_a_person_stands_above_every_finding_until_the_word_ends():
    book = VerdictBook()
    word = Verdict(
        **{
            **msgspec.structs.asdict(one()),
            "action": "allow",
            "by": "human",
            "until": "2026-11-22T12:00:00.000000Z",
        }
    )
    book.overrule(word)
    assert judged(book, severity="critical", time="2026-11-22T11:00:00Z") == []
    assert judged(book, severity="critical", time="2026-11-22T12:30:00Z") != []


def test_a_flood_of_findings_publishes_one_verdict():
    book = VerdictBook()
    published = [
        verdict
        for second in range(60)
        for verdict in judged(book, id=f"f{second}", time=f"2026-11-22T10:00:{second:02}Z")
    ]
    assert len(published) == 1


def test_models_and_tenants_are_not_judged():
    for kind in ("model", "tenant"):
        assert judged(subject=Subject(type=kind, ids=("digits",))) == []


def test_each_client_of_a_campaign_is_judged():
    found = judged(subject=Subject(type="campaign", ids=("a", "b")))
    assert [verdict.client for verdict in found] == ["a", "b"]


def test_verdicts_are_in_shadow_unless_somebody_says_otherwise():
    assert RespondSettings().verdict_shadow
    (verdict,) = judged(settings={"verdict_shadow": True})
    assert verdict.shadow


def test_what_no_rule_takes_is_only_watched():
    assert FALLBACK.response == "watch"


def test_a_milder_verdict_does_not_replace_a_stronger_one_that_holds():
    book = VerdictBook()
    strong = book.judge(one(severity="critical", time="2026-11-22T10:00:00Z"))
    assert book.judge(one(severity="low", time="2026-11-22T10:30:00Z")) is None
    assert book.held("u1_mallory") == strong


def test_a_milder_verdict_follows_a_stronger_one_that_has_ended():
    book = VerdictBook()
    book.judge(one(severity="critical", time="2026-11-22T10:00:00Z"))
    assert book.judge(one(severity="low", time="2026-11-22T11:00:00Z")).action == "watch"


def test_an_older_finding_does_not_shorten_a_verdict():
    book = VerdictBook()
    newer = book.judge(one(time="2026-11-22T10:30:00Z"))
    book.judge(one(time="2026-11-22T10:00:00Z"))
    assert book.held("u1_mallory").until == newer.until


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


def test_whom_the_book_forgot_still_ends():
    book = VerdictBook(capacity=3)
    for number in range(30):
        subject = Subject(type="client", ids=(f"c{number}",))
        book.judge(one(subject=subject, time="2026-11-22T10:00:00Z"))
    ended = list(book.expire(at("2026-11-22T11:00:00")))
    assert sorted(ended) == sorted(f"c{number}" for number in range(30))


def test_the_topic_is_taken_over_with_its_tombstones():
    book = VerdictBook()
    book.load("u1_mallory", one(severity="critical"))
    assert book.judge(one(severity="low")) is None
    book.load("u1_mallory", None)
    assert book.judge(one(severity="low")).action == "watch"
