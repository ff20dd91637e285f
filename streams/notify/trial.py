"""A test alert: straight through the notifier, or all the way through Kafka and respond."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from streams.notify.progress import group_of, read_offset
from streams.notify.sinks import notifier_of
from streams.producer import send_once
from streams.respond.alerts import RUNBOOKS, Alert, AlertSubject, alert_id, without_finding
from streams.respond.responder import alert_out
from streams.respond.times import from_us, iso

if TYPE_CHECKING:
    from config.respond import SinkSettings
    from config.settings import KafkaSettings
    from streams.notify.base import Outcome

POLL_S = 0.5


def trial_alert(now_s: float, sink: str) -> Alert:
    """Return an alert for one sink that nobody can take for a real one."""
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
        state="test",
        reason="test",
        rule="test",
        findings_total=0,
        routes=(sink,),
    )


async def attempt(sink: SinkSettings, kafka: KafkaSettings) -> Outcome:
    """Send a test alert once."""
    notifier = notifier_of(sink, kafka)
    await notifier.start()
    try:
        return await notifier.notify(trial_alert(time.time(), sink.name))
    finally:
        await notifier.close()


async def queue(sink: SinkSettings, kafka: KafkaSettings, timeout_s: float) -> bool:
    """Write a test alert as respond does; true once the sink's delivery has gone past it.

    The sink may have taken it or refused it for ever: respond's log and metrics tell which.
    """
    out = alert_out(trial_alert(time.time(), sink.name))
    sent = await send_once(kafka, out.topic, out.value, key=out.key.encode())
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        read = await asyncio.to_thread(read_offset, kafka, group_of(sink.name))
        if read is not None and read > sent.offset:
            return True
        await asyncio.sleep(POLL_S)
    return False
