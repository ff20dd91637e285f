"""The judge compares what was seen with who was planted, and forgives nothing."""

from __future__ import annotations

import msgspec

from streams.demo.attacks.target import Success
from streams.demo.judge import Planted, SeenAlert, judge


def alert(client: str, at_s: float, *, kind: str = "evasion", events: int = 7) -> SeenAlert:
    return SeenAlert(
        id=f"{client}-{at_s}",
        at_s=at_s,
        subject_type="client",
        clients=(client,),
        kind=kind,
        detector="near",
        events=events,
        delay_s=1.0,
    )


def attacker(client: str = "mallory", success_s: float | None = None) -> Planted:
    return Planted(
        name="square",
        goal="misclassified",
        client=client,
        asked_s=[100.0 + 0.1 * number for number in range(50)],
        success=None if success_s is None else Success(success_s, 30, "done"),
    )


def test_an_attacker_alerted_before_its_success_was_stopped_in_time() -> None:
    outcome = judge([attacker(success_s=103.0)], ["alice"], [alert("mallory", 101.05)])
    assert outcome.passed
    (row,) = outcome.attackers
    assert (row.queries_at_alert, row.seconds_at_alert, row.events_at_trigger) == (11, 1.05, 7)
    assert (row.success_queries, row.success_s) == (30, 3.0)


def test_an_alert_after_the_success_comes_too_late() -> None:
    outcome = judge([attacker(success_s=101.0)], [], [alert("mallory", 101.05)])
    assert not outcome.passed
    assert outcome.attackers[0].alerted
    assert not outcome.attackers[0].stopped_in_time


def test_an_attacker_nobody_noticed_fails_the_demo_even_if_it_got_nowhere() -> None:
    outcome = judge([attacker()], [], [])
    assert not outcome.passed
    assert outcome.attackers[0].queries_at_alert is None


def test_an_alarm_about_anybody_else_fails_the_demo() -> None:
    seen = [alert("mallory", 101.0), alert("alice", 102.0), alert("nobody-planted", 103.0)]
    outcome = judge([attacker()], ["alice", "bob"], seen)
    assert outcome.false_alarms == ("alice", "nobody-planted")
    assert not outcome.passed


def test_a_campaign_that_drags_in_an_ordinary_client_is_a_false_alarm() -> None:
    campaign = SeenAlert(
        id="c",
        at_s=101.0,
        subject_type="campaign",
        clients=("mallory", "alice"),
        kind="collusion",
        detector="pool",
        events=9,
        delay_s=1.0,
    )
    outcome = judge([attacker()], ["alice"], [campaign])
    assert outcome.attackers[0].alerted
    assert outcome.false_alarms == ("alice",)


def test_an_alert_about_the_model_is_no_alert_about_a_client() -> None:
    drift = SeenAlert(
        id="d",
        at_s=101.0,
        subject_type="model",
        clients=(),
        kind="drift",
        detector="m",
        events=9,
        delay_s=1.0,
    )
    outcome = judge([attacker()], ["alice"], [drift])
    assert not outcome.attackers[0].alerted
    assert outcome.false_alarms == ()


def test_the_first_alert_counts_whatever_their_order() -> None:
    seen = [alert("mallory", 104.0, kind="drift"), alert("mallory", 102.0)]
    row = judge([attacker()], [], seen).attackers[0]
    assert row.seconds_at_alert == 2.0
    assert row.kinds == ("evasion", "drift")


def test_an_attacker_that_could_not_attack_proves_nothing() -> None:
    hindered = msgspec.structs.replace(attacker(), problem="no answer within 30 s")
    assert not judge([hindered], [], [alert("mallory", 101.0)]).passed


def test_without_attackers_there_is_nothing_to_pass() -> None:
    assert not judge([], ["alice"], []).passed
