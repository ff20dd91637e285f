"""The core of the respond role, without Kafka: findings and people's words in, records out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from config.errors import PoisonRecord
from detectors.finding import Finding
from streams.metrics.catalogue import VERDICTS as VERDICTS_COUNTED
from streams.respond.alerts import ALERT_TYPE, Alert
from streams.respond.feedback import Feedback, decode_feedback
from streams.respond.incidents import Incidents
from streams.respond.silences import Silence
from streams.respond.times import event_time, from_us, iso, microseconds
from streams.respond.verdicts import Verdict, VerdictBook
from streams.topics import ALERTS, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.respond import RespondSettings
    from streams.respond.incident import Reason
    from streams.respond.policy import VerdictPolicy
    from streams.rules.load import RuleSet

VERDICT_TYPE = "io.vedette.verdict.v1"
#: How far ahead of this clock a finding may be dated.
MAX_AHEAD_S = 86_400.0
#: Event time between two looks for verdicts that have run out.
EXPIRE_EVERY_US = 100_000

_findings = msgspec.json.Decoder(Finding)
_encoder = msgspec.json.Encoder()


class Out(NamedTuple):
    """A record to write."""

    topic: str
    key: str
    value: bytes | None
    kind: str
    identity: str


class Responder:
    """Turns findings into alerts and verdicts, and takes people's word.

    Parameters
    ----------
    settings
        Section of the settings.
    rules
        Gives the rule set in force.
    policy
        Judges clients.
    clock
        Gives unix time; only to refuse what cannot be true.
    """

    def __init__(
        self,
        settings: RespondSettings,
        rules: Callable[[], RuleSet],
        policy: VerdictPolicy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._policy = policy
        self._clock = clock
        self.incidents = Incidents(settings)
        self.book = VerdictBook()
        self._expired_us = 0
        self._verbs: dict[str, Callable[[Feedback], list[Out]]] = {
            "ack": self._acknowledge,
            "resolve": self._close,
            "false_positive": self._close,
            "silence": self._silence,
            "unsilence": self._unsilence,
            "lift": self._overrule,
            "judge": self._overrule,
            "unlift": self._forget,
        }

    def take_finding(self, value: bytes | None) -> list[Out]:
        """Take a record of the findings.

        Raises
        ------
        PoisonRecord
            If it is no finding.
        """
        finding = decode_finding(value)
        if event_time(finding.time).timestamp() > self._clock() + MAX_AHEAD_S:
            # It would end every incident and verdict at once: event time never goes back.
            raise PoisonRecord("from_the_future", "a finding is dated more than a day ahead")
        rules = self._rules()
        outs = [alert_out(alert) for alert in self.incidents.take(finding, rules)]
        outs += self._expired()
        rule = rules.take(finding).rule
        if rule is not None:
            outs += map(_verdict_out, self._policy.verdicts(finding, rule, self.book))
        return outs

    def take_feedback(self, value: bytes | None) -> list[Out]:
        """Take a record of the feedback.

        Raises
        ------
        PoisonRecord
            If it is none.
        """
        feedback = decode_feedback(value)
        return self._verbs[feedback.verb](feedback)

    def advance(self, now_us: int) -> list[Out]:
        """End what has been quiet, or has run out, at event time ``now_us``."""
        ended = self.incidents.advance(now_us, self._rules())
        return [*(alert_out(alert) for alert in ended), *self._expired()]

    def _expired(self) -> list[Out]:
        watermark_us = self.incidents.watermark_us
        if watermark_us < self._expired_us + EXPIRE_EVERY_US:
            return []
        self._expired_us = watermark_us
        now = from_us(watermark_us)
        return [Out(VERDICTS, client, None, VERDICT_TYPE, "") for client in self.book.expire(now)]

    def _acknowledge(self, feedback: Feedback) -> list[Out]:
        self.incidents.acknowledge(feedback.target, feedback.author)
        return []

    def _close(self, feedback: Feedback) -> list[Out]:
        outs: list[Out] = []
        incidents = self.incidents
        incidents.ranker.judged(
            feedback.target,
            real=feedback.verb == "resolve",
            still_open=incidents.open.values(),
        )
        if feedback.verb == "false_positive" and feedback.client and self._policy_made(feedback):
            outs += self._forget(feedback)
        reason: Reason = (
            "false_positive" if feedback.verb == "false_positive" else "closed_by_analyst"
        )
        ended = incidents.close(feedback.target, self._rules(), reason)
        return outs + [alert_out(alert) for alert in ended]

    def _policy_made(self, feedback: Feedback) -> bool:
        held = self.book.held(feedback.client or "")
        return held is not None and held.by == "policy"

    def _silence(self, feedback: Feedback) -> list[Out]:
        self.incidents.silences.add(
            Silence(
                id=feedback.target,
                author=feedback.author,
                reason=feedback.reason,
                until_us=microseconds(event_time(feedback.until or feedback.time)),
                rule=feedback.rule,
                model=feedback.model,
                client=feedback.client,
                tenant=feedback.tenant,
            )
        )
        return []

    def _unsilence(self, feedback: Feedback) -> list[Out]:
        self.incidents.silences.end(feedback.target)
        return []

    def _overrule(self, feedback: Feedback) -> list[Out]:
        time = iso(event_time(feedback.time))
        verdict = Verdict(
            client=feedback.target,
            action="allow" if feedback.verb == "lift" else feedback.action or "block",
            since=time,
            effective=time,
            until=iso(event_time(feedback.until or feedback.time)),
            reason=feedback.reason or feedback.verb,
            severity="info",
            finding=feedback.id,
            model=feedback.model or "",
            tenant=feedback.tenant,
            # A person who blocks by hand means it.
            shadow=False,
            by="human",
        )
        return [_verdict_out(self.book.overrule(verdict))]

    def _forget(self, feedback: Feedback) -> list[Out]:
        client = feedback.client or feedback.target
        self.book.forget(client)
        return [Out(VERDICTS, client, None, VERDICT_TYPE, feedback.id)]


def decode_finding(value: bytes | None) -> Finding:
    """Decode a finding.

    Raises
    ------
    PoisonRecord
        If it is none.
    """
    if value is None:
        raise PoisonRecord("null_value", "a finding needs a value")
    try:
        finding = _findings.decode(value)
    except msgspec.ValidationError:
        raise PoisonRecord("bad_finding", "the JSON does not follow finding.v1") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PoisonRecord("bad_json", "a finding is JSON") from None
    event_time(finding.time)
    return finding


def alert_out(alert: Alert) -> Out:
    """Return the record of an alert."""
    key = (alert.subject.ids or (alert.model,))[0]
    return Out(ALERTS, key, _encoder.encode(alert), ALERT_TYPE, alert.id)


def _verdict_out(verdict: Verdict) -> Out:
    VERDICTS_COUNTED.labels(verdict.action, "shadow" if verdict.shadow else "live").inc()
    return Out(VERDICTS, verdict.client, _encoder.encode(verdict), VERDICT_TYPE, verdict.finding)
