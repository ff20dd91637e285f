"""From an incident to an alert: what happened, in words and numbers, never raw text."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from detectors.finding import Severity, SubjectType, Technique
from streams.respond.explain import Explanation, explain
from streams.respond.incident import MAX_SAMPLES, Moment, Reason
from streams.respond.ranking import Ranking
from streams.respond.risk import risk_score
from streams.respond.text import shown
from streams.respond.times import event_time, iso, iso_us

if TYPE_CHECKING:
    from config.respond import AssetValue
    from detectors.finding import Finding
    from streams.respond.incident import Incident
    from streams.rules.model import Rule

ALERT_TYPE: Final = "io.vedette.alert.v1"
RUNBOOKS: Final = "docs/runbooks.md"
MAX_SUBJECTS = 32
MAX_INTERACTIONS = MAX_SAMPLES
MAX_EVIDENCE = 64
MAX_TECHNIQUES = 16
MAX_NAME_CHARS = 256
#: Evidence lists of these names hold interaction ids.
_INTERACTION_KEYS = ("interactions", "interaction_ids", "samples")

State = Literal["opened", "updated", "escalated", "resolved", "heartbeat", "digest", "test"]
#: What tells of nothing that was found: neither kept in the audit trail nor an incident.
PASSING: frozenset[State] = frozenset({"heartbeat", "test"})
_STATES: dict[Reason, State] = {
    "opened": "opened",
    "campaign_opened": "opened",
    "severity_rose": "escalated",
    "evidence_grew": "escalated",
    "campaign_grew": "updated",
    "still_firing": "updated",
    "resolved": "resolved",
    "closed_by_analyst": "resolved",
    "false_positive": "resolved",
}


class AlertSubject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an alert is about; ``monitor`` is Vedette itself."""

    type: SubjectType | Literal["monitor"]
    ids: tuple[str, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that a digest tells of."""

    id: str
    severity: Severity
    title: str
    state: State = "opened"
    incident: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What people act on, schema ``alert.v1``.

    Every field is bounded, whatever the findings held; ``subjects_total`` tells how many ids
    the subject had before ``subject.ids`` was cut, exactly if ``exact``. ``reason`` is why people
    are told now. Alerts of one incident share ``incident`` and are numbered by ``sequence``.
    """

    id: str
    type: Literal["io.vedette.alert.v1"] = ALERT_TYPE
    finding: str
    time: str
    severity: Severity
    risk_score: int
    title: str
    summary: str
    subject: AlertSubject
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
    incident: str = ""
    sequence: int = 1
    state: State = "opened"
    reason: str = "opened"
    rule: str = ""
    rule_version: int = 0
    shadow: bool = False
    findings_total: int = 1
    exact: bool = True
    earlier_incidents: int = 0
    ranking: Ranking = Ranking()
    explanation: Explanation | None = None
    timeline: tuple[Moment, ...] = ()
    routes: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()


def alert_id(*parts: str) -> str:
    """Return the alert's id, a function of the finding's: a replay raises the same alert."""
    text = "\x00".join(parts).encode()
    return hashlib.blake2b(text, digest_size=16, person=b"vedette-alert").hexdigest()


def without_finding() -> dict[str, Any]:
    """Return the fields of an alert that no finding led to: a digest, a test, the self-watch."""
    return {
        "finding": "",
        "tenant": None,
        "version": 1,
        "events": 0,
        "log_e": 0.0,
        "run_length": 0,
        "evidence": {},
        "interactions": (),
        "atlas": (),
        "owasp": (),
    }


def incident_alert(
    incident: Incident,
    rule: Rule,
    reason: Reason,
    finding: Finding | None,
    *,
    asset: AssetValue = "normal",
) -> Alert:
    """Return the alert that tells of an incident now.

    Parameters
    ----------
    finding
        The one that made it news; None if the end of the incident is the news.
    """
    strongest = incident.strongest
    clients = _subject_ids(incident)
    return Alert(
        id=_identity(incident, reason, finding),
        finding=shown((finding or strongest).id, MAX_NAME_CHARS),
        time=iso(event_time(finding.time)) if finding else iso_us(incident.last_us),
        severity=incident.ranking.of(incident.severity),
        risk_score=risk_score(incident, asset),
        title=_title(incident, rule, reason),
        summary=_summary(incident, rule, reason),
        subject=AlertSubject(
            type=_subject_type(incident),
            ids=tuple(shown(item, MAX_NAME_CHARS) for item in clients[:MAX_SUBJECTS]),
        ),
        subjects_total=max(len(clients), incident.client_count),
        model=shown(incident.key.model, MAX_NAME_CHARS),
        tenant=None if incident.tenant is None else shown(incident.tenant, MAX_NAME_CHARS),
        kind=shown(strongest.kind),
        detector=shown(strongest.detector),
        version=strongest.version,
        since=shown(strongest.since),
        events=strongest.events,
        log_e=strongest.log_e,
        run_length=strongest.run_length,
        evidence=_numbers(strongest),
        interactions=tuple(incident.samples),
        atlas=_techniques(strongest.atlas),
        owasp=_techniques(strongest.owasp),
        recommended_action=rule.action,
        runbook=f"{RUNBOOKS}#{rule.id}",
        incident=incident.id,
        sequence=incident.sequence,
        state=_STATES[reason],
        reason=reason,
        rule=rule.id,
        rule_version=rule.version,
        shadow=incident.shadow,
        findings_total=incident.findings,
        exact=incident.exact,
        earlier_incidents=incident.earlier,
        ranking=incident.ranking,
        explanation=explain(strongest),
        timeline=tuple(incident.timeline),
        routes=rule.routes,
    )


def interactions_of(finding: Finding) -> tuple[str, ...]:
    """Return the trigger and the sample interactions, each once, the trigger first."""
    found = {shown(finding.trigger, MAX_NAME_CHARS): None} if finding.trigger else {}
    for key in _INTERACTION_KEYS:
        value = finding.evidence.get(key)
        if isinstance(value, list):
            found.update((shown(item, MAX_NAME_CHARS), None) for item in value[:MAX_INTERACTIONS])
    return tuple(found)[:MAX_INTERACTIONS]


def _identity(incident: Incident, reason: Reason, finding: Finding | None) -> str:
    if finding is None:
        return alert_id(incident.id, reason, str(incident.sequence))
    # A shadow rule speaks of a finding that another rule has told already.
    return alert_id(incident.key.rule, finding.id) if incident.shadow else alert_id(finding.id)


def _subject_type(incident: Incident) -> SubjectType:
    scope = incident.key.scope
    return "campaign" if scope == "group" else scope


def _subject_ids(incident: Incident) -> list[str]:
    if incident.key.scope in ("client", "campaign", "group"):
        return list(incident.clients)
    return list(incident.strongest.subject.ids)


def _title(incident: Incident, rule: Rule, reason: Reason) -> str:
    title = f"{rule.title} on {shown(incident.key.model)}"
    return f"Ended: {title}" if _STATES[reason] == "resolved" else title


def _summary(incident: Incident, rule: Rule, reason: Reason) -> str:
    strongest = incident.strongest
    text = (
        f"On model {shown(incident.key.model)}, {_who(incident)} {rule.behaviour}: "
        f"seen over {strongest.events:,} interactions since {shown(strongest.since)}; "
        f"one false alarm is expected in {strongest.run_length:,} benign events."
    )
    if incident.findings > 1:
        text += f" {incident.findings:,} findings so far."
    if incident.earlier:
        text += f" It happened {incident.earlier:,} times before."
    ranking = incident.ranking
    if ranking.lowered_from is not None:
        text += (
            f" Analysts called {ranking.false} of the {ranking.votes} alerts most like it false: "
            f"told as {ranking.of(incident.severity)} instead of {incident.severity}."
        )
    if reason == "resolved":
        text += f" Nothing more was found for {rule.window_s / 60:.0f} minutes."
    elif reason == "closed_by_analyst":
        text += " An analyst has closed it."
    elif reason == "false_positive":
        text += " An analyst has found it to be a false positive."
    return text


def _who(incident: Incident) -> str:
    kind = _subject_type(incident)
    if kind == "campaign":
        count = incident.client_count
        more = "" if incident.exact else "at least "
        return (
            f"a campaign of {more}{count:,} clients" if count != 1 else "a campaign of one client"
        )
    ids = incident.strongest.subject.ids
    return f"{kind} {shown(ids[0]) if ids else 'unknown'}"


def _techniques(entries: tuple[Technique, ...]) -> tuple[Technique, ...]:
    return tuple(
        Technique(id=shown(entry.id), name=shown(entry.name), edition=shown(entry.edition))
        for entry in entries[:MAX_TECHNIQUES]
    )


def _numbers(finding: Finding) -> dict[str, int | float]:
    numbers: dict[str, int | float] = {}
    for key, value in finding.evidence.items():
        if isinstance(value, int | float) and math.isfinite(value):
            numbers[shown(key)] = value
        if len(numbers) == MAX_EVIDENCE:
            break
    return numbers
