"""Alerts to PagerDuty, Events API v2: one incident there for each of ours.

References
----------
PagerDuty/developer-docs, Events API v2: 202 is accepted, 429 and 5xx are retried, 400 never.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from streams.notify.fit import cut
from streams.notify.http_notifier import HttpNotifier
from streams.respond.explain import in_words
from streams.respond.severity import SEVERITIES

if TYPE_CHECKING:
    from config.respond import PagerDutySettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: https://developer.pagerduty.com/docs/events-api-v2/trigger-events
MAX_SUMMARY_CHARS = 1024
MAX_BODY_BYTES = 512_000

_encoder = msgspec.json.Encoder()


def pagerduty_event(alert: Alert, routing_key: str, name: str) -> dict[str, Any]:
    """Return the event; the same for the same alert."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if alert.state == "resolved" else "trigger",
        "dedup_key": _dedup_key(alert),
    }
    if alert.state == "resolved":
        return event
    event["client"] = "Vedette"
    event["payload"] = {
        "summary": cut(f"{alert.title}: {alert.summary}", MAX_SUMMARY_CHARS, name),
        "source": alert.model,
        "severity": SEVERITIES[alert.severity].pagerduty,
        "timestamp": alert.time,
        "component": alert.detector,
        "group": alert.model,
        "class": alert.kind,
        "custom_details": {
            "alert": alert.id,
            "incident": alert.incident,
            "reason": alert.reason,
            "risk_score": alert.risk_score,
            "subject": alert.subject,
            "subjects_total": alert.subjects_total,
            "findings_total": alert.findings_total,
            "recommended_action": alert.recommended_action,
            "runbook": alert.runbook,
            "explanation": in_words(alert.explanation),
            "evidence": alert.evidence,
            "timeline": alert.timeline,
            "interactions": alert.interactions,
            "held": alert.held,
            "atlas": [f"{entry.id}:{entry.edition}" for entry in alert.atlas],
            "owasp": [f"{entry.id}:{entry.edition}" for entry in alert.owasp],
        },
    }
    return event


def _dedup_key(alert: Alert) -> str:
    """Return a key of the incident: at most 255 characters, and nothing of its subject in it."""
    return hashlib.sha256((alert.incident or alert.id).encode()).hexdigest()


class PagerDutyNotifier(HttpNotifier):
    """Sends events to one service.

    Parameters
    ----------
    settings
        Of the sink; the routing key is the secret.

    Raises
    ------
    ConfigError
        If its URL may not be used.
    """

    def __init__(self, settings: PagerDutySettings) -> None:
        super().__init__(settings, MAX_BODY_BYTES)
        self._key = settings.routing_key

    async def notify(self, alert: Alert) -> Outcome:
        """Send ``alert`` once."""
        key = self._key.get_secret_value()

        def encode(item: Alert) -> bytes:
            return _encoder.encode(pagerduty_event(item, key, self.name))

        return await self._post(alert, encode)
