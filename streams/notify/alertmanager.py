"""Alerts to Prometheus Alertmanager, API v2: it then owns grouping, silences and routing.

Labels are identity: an incident keeps its labels for as long as it lives, so that updates land on
the same alert. Its severity is a label, because routes need it; when that rises, the alerts of the
lower severities are ended in the same request.

References
----------
prometheus/alertmanager, ``api/v2/openapi.yaml``.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from streams.notify.fit import cut
from streams.notify.http_notifier import HttpNotifier
from streams.respond.alerts import PASSING
from streams.respond.facts import facts
from streams.respond.severity import BY_RANK, RANK, SEVERITIES
from streams.respond.times import event_time, from_us, iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.respond import AlertmanagerSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

PATH = "api/v2/alerts"
#: Alertmanager has no limit of its own; a proxy before it often has 1 MB.
MAX_BODY_BYTES = 256_000
MAX_ANNOTATION_CHARS = 2000
MAX_EXPLANATION_CHARS = 10_000
#: A sign of life ends soon after the last one: that is when the dead man's switch goes off. So
#: does a test.
HEARTBEAT_FIRING_S = 300.0

_encoder = msgspec.json.Encoder()


class Posted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert as Alertmanager takes it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str


def alertmanager_body(alert: Alert, *, now_s: float, firing_s: float, name: str) -> bytes:
    """Return the list of alerts to post."""
    now = from_us(int(now_s * 1e6))
    ended = alert.state == "resolved"
    if alert.state in PASSING:
        firing_s = min(firing_s, HEARTBEAT_FIRING_S)
    until = now if ended else now + timedelta(seconds=firing_s)
    posted = [_posted(alert, alert.severity, iso(until), name)]
    if alert.state in ("escalated", "resolved"):
        lower = BY_RANK[: RANK[alert.severity]]
        posted += [_posted(alert, severity, iso(now), name) for severity in lower]
    return _encoder.encode(posted)


def _posted(alert: Alert, severity: str, ends_at: str, name: str) -> Posted:
    labels = {
        "alertname": alert.rule or alert.kind,
        "severity": SEVERITIES[severity].alertmanager,  # type: ignore[index] # from the one table
        "level": severity,
        "service": "vedette",
        "model": alert.model,
        "incident": alert.incident,
    }
    if alert.tenant is not None:
        labels["tenant"] = alert.tenant
    if alert.state == "digest":
        labels["incident"] = alert.id
    annotations = {
        "summary": cut(alert.title, MAX_ANNOTATION_CHARS, name),
        "description": cut(alert.summary, MAX_ANNOTATION_CHARS, name),
        "explanation": cut("\n".join(map(str, facts(alert))), MAX_EXPLANATION_CHARS, name),
        "recommended_action": alert.recommended_action,
        "runbook_url": alert.runbook,
        "alert_id": alert.id,
    }
    return Posted(labels=labels, annotations=annotations, starts_at=_since(alert), ends_at=ends_at)


def _since(alert: Alert) -> str:
    """Return when the incident was first told, so that it does not move with updates."""
    return iso(event_time(alert.timeline[0].time)) if alert.timeline else alert.time


class AlertmanagerNotifier(HttpNotifier):
    """Posts alerts to one Alertmanager.

    Parameters
    ----------
    settings
        Of the sink.
    clock
        Gives unix time; replaced by tests.

    Raises
    ------
    ConfigError
        If its URL may not be used.
    """

    def __init__(
        self, settings: AlertmanagerSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(settings, MAX_BODY_BYTES)
        self._token = settings.token
        self._firing_s = settings.firing_s
        self._clock = clock

    async def notify(self, alert: Alert) -> Outcome:
        """Post ``alert`` once."""
        now_s = self._clock()

        def encode(item: Alert) -> bytes:
            return alertmanager_body(item, now_s=now_s, firing_s=self._firing_s, name=self.name)

        headers = {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return await self._post(alert, encode, lambda _body: headers, PATH)
