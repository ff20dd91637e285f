"""Alerts to a topic for other systems, as OCSF 1.9.0 Detection Findings or as they are.

References
----------
ocsf/ocsf-schema 1.9.0, class 2004 Detection Finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
)

from streams.notify.base import Delivered, Permanent, RetryLater
from streams.notify.fit import fitting
from streams.producer import Producer
from streams.respond.severity import SEVERITIES
from streams.respond.times import event_time, microseconds

if TYPE_CHECKING:
    from config.respond import KafkaSinkSettings
    from config.settings import KafkaSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

OCSF_VERSION = "1.9.0"
_CLASS, _CATEGORY = 2004, 2
_ACTIVITIES = {"opened": 1, "resolved": 3}
_UPDATE = 2
MAX_BODY_BYTES = 512_000

_encoder = msgspec.json.Encoder()


def ocsf_finding(alert: Alert) -> dict[str, Any]:
    """Return the alert as a Detection Finding."""
    activity = _ACTIVITIES.get(alert.state, _UPDATE)
    time_ms = microseconds(event_time(alert.time)) // 1000
    return {
        "class_uid": _CLASS,
        "category_uid": _CATEGORY,
        "activity_id": activity,
        "type_uid": _CLASS * 100 + activity,
        "severity_id": SEVERITIES[alert.severity].ocsf,
        "time": time_ms,
        "is_alert": True,
        "message": alert.summary,
        "risk_score": alert.risk_score,
        "status_id": 4 if alert.state == "resolved" else 1,
        "count": max(1, alert.findings_total),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": alert.id,
            "product": {"name": "Vedette", "vendor_name": "Vedette"},
            "tenant_uid": alert.tenant,
        },
        "finding_info": {
            "uid": alert.incident or alert.id,
            "title": alert.title,
            "types": [alert.kind],
            "analytic": {"uid": alert.rule, "name": alert.detector, "type_id": 1},
            "attacks": [
                {"technique": {"uid": entry.id, "name": entry.name}, "version": entry.edition}
                for entry in alert.atlas
            ],
        },
        "resources": [{"type": "model", "name": alert.model}],
        "evidences": [{"data": {"interactions": alert.interactions, "numbers": alert.evidence}}],
        "remediation": {"desc": alert.recommended_action, "references": [alert.runbook]},
        "unmapped": {
            "subject": alert.subject,
            "subjects_total": alert.subjects_total,
            "held": alert.held,
        },
    }


class KafkaNotifier:
    """Writes alerts to one topic of the broker of the settings.

    Parameters
    ----------
    settings
        Of the sink.
    kafka
        Where the broker is.
    """

    def __init__(self, settings: KafkaSinkSettings, kafka: KafkaSettings) -> None:
        self.name = settings.name
        self._topic = settings.topic
        self._ocsf = settings.format == "ocsf"
        self._producer = Producer(kafka)
        self._started = False

    async def start(self) -> None:
        """Do nothing: `notify` connects, so that an absent broker is an outcome."""

    async def notify(self, alert: Alert) -> Outcome:
        """Write ``alert`` once."""
        body = fitting(alert, self._encode, MAX_BODY_BYTES, self.name)
        if body is None:
            return Permanent("refused_payload")
        try:
            if not self._started:
                await self._producer.start()
                self._started = True
            key = (alert.incident or alert.id).encode()
            headers = [("ce_id", alert.id.encode()), ("content-type", b"application/json")]
            await (await self._producer.send(self._topic, body, key=key, headers=headers))
        except KafkaError as error:
            return outcome_of_error(error)
        return Delivered()

    async def close(self) -> None:
        """Disconnect."""
        self._started = False
        await self._producer.stop()

    def _encode(self, alert: Alert) -> bytes:
        return _encoder.encode(ocsf_finding(alert) if self._ocsf else alert)


def outcome_of_error(error: KafkaError) -> Outcome:
    """Sort what the broker refused."""
    if isinstance(error, (MessageSizeTooLargeError, RecordTooLargeError)):
        return Permanent("refused_payload")
    if isinstance(error, KafkaTimeoutError):
        return RetryLater("timeout")
    if isinstance(error, KafkaConnectionError):
        return RetryLater("connection")
    return RetryLater("server_error" if error.retriable else "client_error")
