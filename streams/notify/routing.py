"""Which alerts a sink is told of, and when: a pure function with a named reason."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from streams.respond.alerts import PASSING
from streams.respond.severity import RANK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from config.respond import QuietHours, SinkSettings
    from streams.notify.base import Withheld
    from streams.respond.alerts import Alert


def withheld(alert: Alert, sink: SinkSettings) -> Withheld | None:
    """Return why the sink is never told of an alert, None if it is."""
    if alert.state == "heartbeat":
        return None if sink.heartbeat else "heartbeat"
    if alert.state == "test":
        return None if sink.name in alert.routes else "route"
    if alert.shadow:
        return "shadow"
    if alert.routes and sink.name not in alert.routes:
        return "route"
    if alert.state == "resolved" and not sink.resolved:
        return "resolved"
    return _filtered(alert, sink)


def _filtered(alert: Alert, sink: SinkSettings) -> Withheld | None:
    if RANK[alert.severity] < RANK[sink.min_severity]:
        return "severity"
    if sink.rules and alert.rule not in sink.rules:
        return "rule"
    # The watch over the watch belongs to no model or technique: such filters let it pass.
    return None if alert.subject.type == "monitor" else _out_of_scope(alert, sink)


def _out_of_scope(alert: Alert, sink: SinkSettings) -> Withheld | None:
    if not _named(sink.models, alert.model):
        return "model"
    if not _named(sink.tenants, alert.tenant or ""):
        return "tenant"
    techniques = [entry.id for entry in alert.atlas]
    if sink.techniques and not any(item.startswith(sink.techniques) for item in techniques):
        return "technique"
    return None


def is_quiet(alert: Alert, hours: QuietHours | None, now: datetime) -> bool:
    """Tell whether an alert waits for the end of the quiet hours."""
    return may_wait(alert, hours) and quiet_now(hours, now)


def may_wait(alert: Alert, hours: QuietHours | None) -> bool:
    """Tell whether an alert is one that quiet hours hold back, whatever the hour is now."""
    if hours is None or alert.state in PASSING:
        return False
    return RANK[alert.severity] < RANK[hours.urgent]


def quiet_now(hours: QuietHours | None, now: datetime) -> bool:
    """Tell whether it is a quiet hour, in the zone of the settings."""
    if hours is None:
        return False
    begins, ends = time.fromisoformat(hours.begins), time.fromisoformat(hours.ends)
    moment = now.astimezone(ZoneInfo(hours.zone)).time()
    if begins <= ends:
        return begins <= moment < ends
    return moment >= begins or moment < ends


def _named(names: Sequence[str], name: str) -> bool:
    return not names or any(
        name.startswith(item[:-1]) if item.endswith("*") else name == item for item in names
    )
