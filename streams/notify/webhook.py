"""Alerts as Standard Webhooks 1.0.0: a signed JSON body to an https endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from streams.notify.http_notifier import HttpNotifier
from streams.notify.signing import Signer
from streams.respond.alerts import Held
from streams.respond.explain import in_words
from streams.respond.incident import Moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.respond import WebhookSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: By the state of the incident; parts are dotted, as the specification wants them.
EVENT_TYPES = {"opened": "vedette.alert.created"}
#: The specification asks for less than 20 kB.
MAX_BODY_BYTES = 20_000

_encoder = msgspec.json.Encoder()


class _Subject(msgspec.Struct, frozen=True):
    type: str
    ids: tuple[str, ...]
    total: int
    exact: bool


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """What to route by, what happened and why; of the traffic itself ids alone."""

    id: str
    severity: str
    risk_score: int
    kind: str
    title: str
    summary: str
    model: str
    tenant: str | None
    subject: _Subject
    detector: str
    atlas: tuple[str, ...]
    owasp: tuple[str, ...]
    since: str
    events: int
    log_e: float
    run_length: int
    explanation: list[str]
    timeline: tuple[Moment, ...]
    interactions: tuple[str, ...]
    recommended_action: str
    runbook: str
    incident: str
    sequence: int
    state: str
    reason: str
    rule: str
    findings: int
    held: tuple[Held, ...] | msgspec.UnsetType = msgspec.UNSET


class _Message(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: _Data


def webhook_body(alert: Alert) -> bytes:
    """Return the body; the same bytes for the same alert, so retries differ only in time."""
    data = _Data(
        id=alert.id,
        severity=alert.severity,
        risk_score=alert.risk_score,
        kind=alert.kind,
        title=alert.title,
        summary=alert.summary,
        model=alert.model,
        tenant=alert.tenant,
        subject=_Subject(alert.subject.type, alert.subject.ids, alert.subjects_total, alert.exact),
        detector=alert.detector,
        atlas=tuple(f"{entry.id}:{entry.edition}" for entry in alert.atlas),
        owasp=tuple(f"{entry.id}:{entry.edition}" for entry in alert.owasp),
        since=alert.since,
        events=alert.events,
        log_e=alert.log_e,
        run_length=alert.run_length,
        explanation=in_words(alert.explanation),
        timeline=alert.timeline,
        interactions=alert.interactions,
        recommended_action=alert.recommended_action,
        runbook=alert.runbook,
        incident=alert.incident,
        sequence=alert.sequence,
        state=alert.state,
        reason=alert.reason,
        rule=alert.rule,
        findings=alert.findings_total,
        held=alert.held or msgspec.UNSET,
    )
    kind = EVENT_TYPES.get(alert.state, f"vedette.alert.{alert.state}")
    return _encoder.encode(_Message(kind, alert.time, data))


class WebhookNotifier(HttpNotifier):
    """Posts alerts to one endpoint.

    Parameters
    ----------
    settings
        The endpoint. Its URL and secret never appear in logs, errors or outcomes.
    clock
        Gives unix time; replaced by tests.

    Raises
    ------
    ConfigError
        If the URL is no https URL of a public host (``allow_private`` lifts both), or a
        secret has the wrong form.
    """

    def __init__(
        self, settings: WebhookSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(settings, MAX_BODY_BYTES - 1)
        self._signer = Signer(settings.secret.get_secret_value(), endpoint=settings.name)
        self._clock = clock

    async def notify(self, alert: Alert) -> Outcome:
        """Post ``alert`` once."""

        def signature(body: bytes) -> dict[str, str]:
            return self._signer.headers(alert.id, int(self._clock()), body)

        return await self._post(alert, webhook_body, signature)
