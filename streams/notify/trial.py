"""A test alert through the real notifier."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streams.notify.sinks import notifier_of
from streams.respond.alerts import RUNBOOKS, Alert, AlertSubject, alert_id, without_finding
from streams.respond.times import from_us, iso

if TYPE_CHECKING:
    from config.respond import SinkSettings
    from config.settings import KafkaSettings
    from streams.notify.base import Outcome


def trial_alert(now_s: float) -> Alert:
    """Return an alert that nobody can take for a real one."""
    now = iso(from_us(int(now_s * 1e6)))
    identity = alert_id("trial", now)
    return Alert(
        **without_finding(),
        id=identity,
        time=now,
        severity="info",
        risk_score=1,
        title="Test of this receiver",
        summary="Somebody ran `vedette notify test`; nothing has happened.",
        subject=AlertSubject(type="monitor", ids=("test",)),
        subjects_total=1,
        model="vedette",
        kind="test",
        detector="vedette.notify",
        since=now,
        recommended_action="Nothing.",
        runbook=RUNBOOKS,
        incident=identity,
        rule="test",
        findings_total=0,
    )


async def attempt(sink: SinkSettings, kafka: KafkaSettings) -> Outcome:
    """Send a test alert once."""
    notifier = notifier_of(sink, kafka)
    await notifier.start()
    try:
        return await notifier.notify(trial_alert(time.time()))
    finally:
        await notifier.close()
