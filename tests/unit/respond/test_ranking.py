"""What analysts say of alerts changes the order and severity of later ones, and hides none."""

from __future__ import annotations

import msgspec
import pytest

from config.respond import RespondSettings
from detectors.finding import Subject
from streams.respond.alerts import Alert
from streams.respond.feedback import Feedback
from streams.respond.policy import VerdictPolicy
from streams.respond.ranking import MAX_CASES, MAX_POINTS
from streams.respond.responder import Responder
from streams.respond.snapshot import dump, load
from streams.topics import ALERTS, VERDICTS
from tests.unit.respond.samples import RULES, finding

NOW_S = 1_795_341_600.0


class Desk:
    """Findings of one client after another, and an analyst who answers."""

    def __init__(self, **settings):
        self.settings = RespondSettings(verdict_delay_s=0, **settings)
        policy = VerdictPolicy(self.settings, lambda _: 0.0)
        self.responder = Responder(self.settings, lambda: RULES, policy, lambda: NOW_S)
        self.said = 0

    def find(self, number, **changes):
        """Return the first alert of a client that is found now, hours after the one before."""
        fields = {
            "id": f"f-{number}-{changes.get('kind', '')}",
            "subject": Subject(type="client", ids=(f"u1_{number}",)),
            "time": f"2026-11-{1 + number // 24:02d}T{number % 24:02d}:00:00Z",
        }
        outs = self.responder.take_finding(msgspec.json.encode(finding(**{**fields, **changes})))
        self.verdicts = [out for out in outs if out.topic == VERDICTS and out.value]
        return next(
            alert
            for out in outs
            if out.topic == ALERTS
            and (alert := msgspec.json.decode(out.value, type=Alert)).state != "resolved"
        )

    def say(self, verb, alert):
        self.said += 1
        feedback = Feedback(
            id=str(self.said), verb=verb, target=alert.incident, author="ann", time=alert.time
        )
        outs = self.responder.take_feedback(msgspec.json.encode(feedback))
        return [msgspec.json.decode(out.value, type=Alert) for out in outs if out.topic == ALERTS]

    def teach(self, count, verb="false_positive", start=0, **changes):
        for number in range(start, start + count):
            self.say(verb, self.find(number, **changes))


def test_nothing_changes_before_anybody_has_judged():
    alert = Desk().find(0)
    assert (alert.ranking.real, alert.ranking.points, alert.severity) == (0.5, 0, "high")


def test_what_analysts_keep_calling_false_is_told_one_severity_lower_and_says_so():
    desk = Desk()
    desk.teach(14)
    alert = desk.find(20)
    assert alert.severity == "medium"
    assert alert.ranking.lowered_from == "high"
    assert "Analysts called 14 of the 14 alerts most like it false" in alert.summary
    assert "told as medium instead of high" in alert.summary


def test_a_few_false_ones_only_move_the_order_a_little():
    desk = Desk()
    first = desk.find(0)
    desk.say("false_positive", first)
    desk.teach(4, start=1)
    alert = desk.find(20)
    assert alert.severity == "high"
    assert first.risk_score - MAX_POINTS <= alert.risk_score < first.risk_score


def test_what_analysts_resolve_is_ranked_before_what_they_never_judged():
    desk = Desk()
    first = desk.find(0)
    desk.teach(8, verb="resolve", start=1)
    assert desk.find(20).risk_score > first.risk_score


def test_verdicts_do_not_ask_the_ranking():
    desk, untaught = Desk(), Desk()
    desk.teach(14)
    desk.find(20)
    untaught.find(20)
    assert [out.value for out in desk.verdicts] == [out.value for out in untaught.verdicts] != []


def test_another_kind_of_finding_is_told_as_ever():
    desk = Desk()
    desk.teach(20)
    assert desk.find(30, kind="evasion", detector="query.pincer").severity == "high"


@pytest.mark.parametrize("severity", ["critical", "low", "info"])
def test_what_is_critical_never_falls_nor_does_what_is_low_already(severity):
    desk = Desk()
    desk.teach(20, severity=severity)
    assert desk.find(30, severity=severity).severity == severity


def test_more_evidence_than_was_ever_called_false_is_told_as_ever():
    desk = Desk()
    desk.teach(20, log_e=12.5)
    assert desk.find(30, log_e=13.0).severity == "high"


def test_a_lowered_incident_that_becomes_graver_is_told_with_its_own_severity():
    desk = Desk()
    desk.teach(14)
    assert desk.find(20).severity == "medium"
    graver = desk.find(
        20, id="graver", severity="critical", time="2026-11-01T20:01:00Z", log_e=60.0
    )
    assert (graver.severity, graver.reason) == ("critical", "severity_rose")
    assert graver.ranking.lowered_from is None


def test_the_end_of_a_lowered_incident_is_told_as_its_beginning_was():
    desk = Desk()
    desk.teach(14)
    (ended,) = desk.say("resolve", desk.find(20))
    assert (ended.state, ended.severity) == ("resolved", "medium")


def test_a_client_under_another_alarm_teaches_nothing():
    desk = Desk()
    for number in range(20):
        alert = desk.find(number)
        desk.find(number, kind="burst", detector="traffic.burst", severity="low")
        desk.say("false_positive", alert)
    alert = desk.find(30)
    assert (alert.severity, alert.ranking.real) == ("high", 0.5)


def test_one_client_is_not_heard_again_and_again():
    desk = Desk()
    for number in range(20):
        same = Subject(type="client", ids=("u1_mallory",))
        desk.say("false_positive", desk.find(number, subject=same))
    assert desk.find(30).ranking.votes == 3


def test_an_incident_is_judged_once_and_one_that_is_unknown_not_at_all():
    desk = Desk()
    alert = desk.find(0)
    for _ in range(3):
        desk.say("false_positive", alert)
    assert len(desk.responder.incidents.ranker.model.votes) == 1


def test_lowering_can_be_switched_off_and_the_order_stays_learned():
    desk = Desk(lower_false=False)
    desk.teach(14)
    alert = desk.find(20)
    assert (alert.severity, alert.ranking.lowered_from) == ("high", None)
    assert alert.ranking.points < -5


def test_what_was_learned_survives_a_restart():
    desk, other = Desk(), Desk()
    desk.teach(14)
    open_one = desk.find(15, kind="evasion")
    state = dump(desk.responder.incidents, desk.responder.book, {})
    load(state, other.responder.incidents, other.responder.book)
    for each in (desk, other):
        each.say("resolve", open_one)
    assert desk.find(20) == other.find(20)
    one, same = (each.responder.incidents.ranker.model.votes for each in (desk, other))
    assert one == same


def test_what_may_be_judged_is_bounded():
    desk = Desk()
    for number in range(MAX_CASES + 5):
        desk.find(0, id=str(number), model=f"m{number}")
    assert len(desk.responder.incidents.ranker.cases) == MAX_CASES
