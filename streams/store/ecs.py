"""ECS 9.4.0 as Structs: only the fields in use; Vedette's own lie under ``vedette``.

Absent values are left out. Constants of a document have no default, or they would be too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from config.techniques import taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.finding import Technique
    from streams.respond.alerts import Alert

ECS_VERSION = "9.4.0"
MODULE = "vedette"
AUDIT_DATASET = "vedette.audit"
ALERT_DATASET = "vedette.alert"
NAMESPACE = "default"
FRAMEWORK = "MITRE ATLAS"
ATLAS_URL = "https://atlas.mitre.org/techniques/"


class _Fields(msgspec.Struct, omit_defaults=True, gc=False):
    """A group of ECS fields."""


class Version(_Fields):
    """``ecs.version``."""

    version: str


class DataStream(_Fields):
    """``data_stream.*``: which stream of Elasticsearch the document belongs to."""

    type: str
    dataset: str
    namespace: str


class Id(_Fields):
    """A group of which only the id is used."""

    id: str


class Name(_Fields):
    """A group of which only the name is used."""

    name: str


class Related(_Fields):
    """``related.*``: pivot fields of Elastic Security."""

    user: tuple[str, ...] = ()


class UserAgent(_Fields):
    """``user_agent.*``."""

    original: str


class Url(_Fields):
    """``url.*``."""

    path: str


class HttpResponse(_Fields):
    """``http.response.*``."""

    status_code: int


class Http(_Fields):
    """``http.*``."""

    response: HttpResponse


class ErrorCode(_Fields):
    """``error.*``."""

    code: str


class GenAiRequest(_Fields):
    """``gen_ai.request.*``."""

    model: str


class GenAiUsage(_Fields):
    """``gen_ai.usage.*``."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class GenAi(_Fields):
    """``gen_ai.*``, beta in ECS; without message contents."""

    request: GenAiRequest
    operation: Name | None = None
    usage: GenAiUsage | None = None


class Model(_Fields):
    """``vedette.model.*``: classic models have no home in ECS."""

    name: str
    version: str | None = None


class KafkaPosition(_Fields):
    """``vedette.kafka.*``: where the evidence lies; ``index`` is always written."""

    partition: int
    offset: int
    index: int
    topic: str | None = None


class Input(_Fields):
    """``vedette.input.*``: what is known of a payload that is not kept."""

    hash: str | None = None
    bytes: int | None = None
    dtype: str | None = None


class Content(_Fields):
    """``vedette.content.*``: what was said, encrypted; base64 in JSON."""

    key: str
    data: bytes


class AuditOwn(_Fields, kw_only=True):
    """``vedette.*`` of an interaction."""

    model: Model
    kafka: KafkaPosition
    scanned: bool
    label: int | None = None
    confidence: float | None = None
    near_log_e: float | None = None
    far_log_e: float | None = None
    prompt_chars: int | None = None
    completion_chars: int | None = None
    input: Input | None = None
    key_id: str | None = None
    client_network: str | None = None
    groups: dict[str, str] | None = None
    content: Content | None = None


class AuditEvent(_Fields, kw_only=True):
    """``event.*`` of an interaction; duration in nanoseconds, as ECS wants it."""

    kind: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    module: str
    dataset: str
    id: str
    outcome: str
    action: str | None = None
    duration: int | None = None


class AuditDocument(_Fields, kw_only=True, rename={"timestamp": "@timestamp"}):
    """An interaction."""

    timestamp: str
    ecs: Version
    data_stream: DataStream
    event: AuditEvent
    message: str
    tags: tuple[str, ...]
    user: Id
    vedette: AuditOwn
    related: Related
    organization: Id | None = None
    user_agent: UserAgent | None = None
    url: Url | None = None
    http: Http | None = None
    error: ErrorCode | None = None
    trace: Id | None = None
    span: Id | None = None
    gen_ai: GenAi | None = None


class Rule(_Fields):
    """``rule.*`` of an alert."""

    id: str
    name: str
    category: str
    version: str


class Subtechnique(_Fields):
    """``threat.technique.subtechnique.*``."""

    id: tuple[str, ...]
    name: tuple[str, ...]
    reference: tuple[str, ...]


class ThreatTechnique(_Fields):
    """``threat.technique.*``; the edition stands in the tags."""

    id: tuple[str, ...]
    name: tuple[str, ...]
    reference: tuple[str, ...]
    subtechnique: Subtechnique | None = None


class Threat(_Fields):
    """``threat.*``."""

    framework: str
    technique: ThreatTechnique


class AlertEvent(_Fields, kw_only=True):
    """``event.*`` of an alert."""

    kind: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    module: str
    dataset: str
    id: str
    severity: int
    risk_score: int
    reason: str
    code: str
    url: str


class Detector(_Fields):
    """``vedette.detector.*``."""

    name: str
    version: int


class SubjectFields(_Fields):
    """``vedette.subject.*``."""

    type: str
    ids: tuple[str, ...]


class AlertOwn(_Fields, kw_only=True):
    """``vedette.*`` of an alert."""

    model: Model
    detector: Detector
    subject: SubjectFields
    kind: str
    severity: str
    finding: str
    since: str
    events: int
    log_e: float
    run_length: int
    interactions: tuple[str, ...]
    evidence: dict[str, int | float]
    recommended_action: str


class AlertDocument(_Fields, kw_only=True, rename={"timestamp": "@timestamp"}):
    """An alert, as Elastic Security's rules over ``event.kind: alert`` expect it."""

    timestamp: str
    ecs: Version
    data_stream: DataStream
    event: AlertEvent
    message: str
    tags: tuple[str, ...]
    rule: Rule
    vedette: AlertOwn
    user: Id | None = None
    related: Related | None = None
    organization: Id | None = None
    threat: Threat | None = None


VERSION = Version(ECS_VERSION)


def alert_document(alert: Alert, stream: DataStream) -> AlertDocument:
    """Return the document of an alert."""
    users = alert.subject.ids if alert.subject.type in ("client", "campaign") else ()
    return AlertDocument(
        timestamp=alert.time,
        ecs=VERSION,
        data_stream=stream,
        event=_alert_event(alert),
        message=alert.summary,
        tags=tuple(_tag(entry) for entry in (*alert.atlas, *alert.owasp)),
        rule=Rule(alert.detector, alert.title, alert.kind, str(alert.version)),
        vedette=_alert_own(alert),
        user=Id(users[0]) if len(users) == 1 else None,
        related=Related(users) if users else None,
        organization=None if alert.tenant is None else Id(alert.tenant),
        threat=_threat(alert.atlas),
    )


def _tag(entry: Technique) -> str:
    """Return an id with its edition; OWASP's ids may carry their year already."""
    edition = f":{entry.edition}"
    return entry.id if entry.id.endswith(edition) else entry.id + edition


def _alert_event(alert: Alert) -> AlertEvent:
    return AlertEvent(
        kind="alert",
        category=("intrusion_detection", "api"),
        type=("info",),
        module=MODULE,
        dataset=ALERT_DATASET,
        id=alert.id,
        severity=alert.risk_score,
        risk_score=alert.risk_score,
        reason=alert.summary,
        code=alert.kind,
        url=alert.runbook,
    )


def _alert_own(alert: Alert) -> AlertOwn:
    return AlertOwn(
        model=Model(alert.model),
        detector=Detector(alert.detector, alert.version),
        subject=SubjectFields(alert.subject.type, alert.subject.ids),
        kind=alert.kind,
        severity=alert.severity,
        finding=alert.finding,
        since=alert.since,
        events=alert.events,
        log_e=alert.log_e,
        run_length=alert.run_length,
        interactions=alert.interactions,
        evidence=alert.evidence,
        recommended_action=alert.recommended_action,
    )


def _threat(atlas: tuple[Technique, ...]) -> Threat | None:
    if not atlas:
        return None
    parts = {entry.id: entry.name for entry in atlas if _is_subtechnique(entry)}
    # A subtechnique counts for its technique too, or searches by technique would miss it.
    whole = {entry.id: entry.name for entry in atlas if not _is_subtechnique(entry)}
    for identity, name in parts.items():
        parent = identity.rpartition(".")[0]
        whole.setdefault(parent, _parent_name(parent, name))
    subtechnique = Subtechnique(tuple(parts), tuple(parts.values()), _references(parts))
    technique = ThreatTechnique(
        tuple(whole), tuple(whole.values()), _references(whole), subtechnique if parts else None
    )
    return Threat(FRAMEWORK, technique)


def _parent_name(identity: str, name: str) -> str:
    """Return the name of a technique of which only a subtechnique is at hand."""
    known = taxonomy("atlas").get(identity)
    if known is not None:
        return known.name
    before, colon, _ = name.partition(": ")
    return before if colon else identity


def _references(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{ATLAS_URL}{identity}" for identity in ids)


def _is_subtechnique(entry: Technique) -> bool:
    """Tell ``AML.T0024.002`` from ``AML.T0024``."""
    return entry.id.count(".") > 1
