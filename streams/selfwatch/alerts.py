"""Alerts about Vedette itself, in the same form as those about clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.respond.alerts import RUNBOOKS, Alert, AlertSubject, alert_id, without_finding
from streams.respond.severity import SEVERITIES
from streams.respond.text import shown
from streams.respond.times import from_us, iso
from streams.selfwatch.conditions import CONDITIONS

if TYPE_CHECKING:
    from streams.respond.alerts import State
    from streams.selfwatch.judge import Trouble

DETECTOR = "vedette.watch"
HEARTBEAT_KIND = "heartbeat"


def watch_alert(trouble: Trouble, state: State, at_s: float, since_s: float) -> Alert:
    """Return the alert of a condition that begins, goes on or ends.

    Its id is the same for a minute, so that a restart in between tells nobody twice.
    """
    condition = CONDITIONS[trouble.condition]
    incident = alert_id(DETECTOR, trouble.condition, trouble.subject)
    ended = state == "resolved"
    return Alert(
        **without_finding(),
        id=alert_id(incident, state, str(int(at_s) // 60)),
        time=iso(from_us(int(at_s * 1e6))),
        severity=condition.severity,
        risk_score=SEVERITIES[condition.severity].risk_score,
        title=f"{'Ended: ' if ended else ''}{condition.title}",
        summary=f"{shown(trouble.why, 300)}. {condition.meaning}",
        subject=AlertSubject(type="monitor", ids=(trouble.subject,)),
        subjects_total=1,
        model="vedette",
        kind=condition.name,
        detector=DETECTOR,
        since=iso(from_us(int(since_s * 1e6))),
        recommended_action=condition.respond[0],
        runbook=f"{RUNBOOKS}#{condition.name}",
        incident=incident,
        state=state,
        reason="resolved" if ended else state,
        rule=condition.name,
        rule_version=1,
        findings_total=0,
    )
