"""From a finding to an alert: what happened, in words and numbers, never raw text."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from detectors.finding import Severity, Subject, Technique
from streams.respond.playbook import play_for, runbook
from streams.respond.severity import SEVERITIES
from streams.respond.text import shown
from streams.respond.times import event_time, iso

if TYPE_CHECKING:
    from detectors.finding import Finding

ALERT_TYPE: Final = "io.vedette.alert.v1"
MAX_SUBJECTS = 32
MAX_INTERACTIONS = 32
MAX_EVIDENCE = 64
MAX_NAME_CHARS = 256
#: Evidence lists of these names hold interaction ids.
_INTERACTION_KEYS = ("interactions", "interaction_ids", "samples")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What people act on, schema ``alert.v1``.

    Every field is bounded, whatever the finding held; ``subjects_total`` tells how many ids
    the subject had before ``subject.ids`` was cut.
    """

    id: str
    type: Literal["io.vedette.alert.v1"] = ALERT_TYPE
    finding: str
    time: str
    severity: Severity
    risk_score: int
    title: str
    summary: str
    subject: Subject
    subjects_total: int
    model: str
    tenant: str | None
    kind: str
    detector: str
    version: int
    since: str
    events: int
    log_e: float
    run_length: int
    evidence: dict[str, int | float]
    interactions: tuple[str, ...]
    atlas: tuple[Technique, ...]
    owasp: tuple[Technique, ...]
    recommended_action: str
    runbook: str


def alert_id(finding_id: str) -> str:
    """Return the alert's id, a function of the finding's: a replay raises the same alert."""
    digest = hashlib.blake2b(finding_id.encode(), digest_size=16, person=b"vedette-alert")
    return digest.hexdigest()


def alert_of(finding: Finding) -> Alert:
    """Return the alert of a finding.

    Raises
    ------
    PoisonRecord
        If the finding has no proper time.
    """
    play = play_for(finding.kind)
    return Alert(
        id=alert_id(finding.id),
        finding=shown(finding.id, MAX_NAME_CHARS),
        time=iso(event_time(finding.time)),
        severity=finding.severity,
        risk_score=SEVERITIES[finding.severity].risk_score,
        title=f"{play.title} on {shown(finding.model)}",
        summary=_summary(finding, play.behaviour),
        subject=Subject(
            type=finding.subject.type,
            ids=tuple(shown(item, MAX_NAME_CHARS) for item in finding.subject.ids[:MAX_SUBJECTS]),
        ),
        subjects_total=len(finding.subject.ids),
        model=shown(finding.model, MAX_NAME_CHARS),
        tenant=None if finding.tenant is None else shown(finding.tenant, MAX_NAME_CHARS),
        kind=shown(finding.kind),
        detector=shown(finding.detector),
        version=finding.version,
        since=shown(finding.since),
        events=finding.events,
        log_e=finding.log_e,
        run_length=finding.run_length,
        evidence=_numbers(finding),
        interactions=_interactions(finding),
        atlas=finding.atlas[:MAX_EVIDENCE],
        owasp=finding.owasp[:MAX_EVIDENCE],
        recommended_action=play.action,
        runbook=runbook(finding.kind),
    )


def _summary(finding: Finding, behaviour: str) -> str:
    return (
        f"On model {shown(finding.model)}, {_who(finding)} {behaviour}: "
        f"seen over {finding.events:,} interactions since {shown(finding.since)}; "
        f"one false alarm is expected in {finding.run_length:,} benign events."
    )


def _who(finding: Finding) -> str:
    ids = finding.subject.ids
    if finding.subject.type == "campaign":
        return f"a campaign of {len(ids)} clients" if len(ids) != 1 else "a campaign of one client"
    return f"{finding.subject.type} {shown(ids[0]) if ids else 'unknown'}"


def _numbers(finding: Finding) -> dict[str, int | float]:
    numbers: dict[str, int | float] = {}
    for key, value in finding.evidence.items():
        if isinstance(value, int | float) and math.isfinite(value):
            numbers[shown(key)] = value
        if len(numbers) == MAX_EVIDENCE:
            break
    return numbers


def _interactions(finding: Finding) -> tuple[str, ...]:
    """Return the trigger and the sample interactions, each once, the trigger first."""
    found = {shown(finding.trigger, MAX_NAME_CHARS): None} if finding.trigger else {}
    for key in _INTERACTION_KEYS:
        value = finding.evidence.get(key)
        if isinstance(value, list):
            found.update((shown(item, MAX_NAME_CHARS), None) for item in value[:MAX_INTERACTIONS])
    return tuple(found)[:MAX_INTERACTIONS]
