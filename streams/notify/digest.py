"""Many alerts in one message: what a limit or quiet hours held back is told, not dropped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streams.respond.alerts import RUNBOOKS, Alert, AlertSubject, Held, alert_id, without_finding
from streams.respond.severity import RANK, SEVERITIES
from streams.respond.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

#: So many fit the smallest body limit of the notifiers, with their titles.
MAX_HELD = 80
_TITLE_CHARS = 80


def held_of(alert: Alert) -> Held:
    """Return what a digest says of one alert."""
    return Held(
        id=alert.id,
        severity=alert.severity,
        title=shown(alert.title, _TITLE_CHARS),
        state=alert.state,
        incident=alert.incident,
    )


def digest_of(alerts: Sequence[Alert]) -> Alert:
    """Return one alert that names all; its id is a function of theirs, in order.

    Parameters
    ----------
    alerts
        At least one, at most `MAX_HELD`, in order.
    """
    worst = max(alerts, key=lambda alert: RANK[alert.severity])
    counts = Counter(alert.severity for alert in alerts)
    listed = ", ".join(
        f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity]
    )
    models = tuple(dict.fromkeys(alert.model for alert in alerts))
    return Alert(
        **without_finding(),
        id=alert_id("digest", *(alert.id for alert in alerts)),
        time=alerts[-1].time,
        severity=worst.severity,
        risk_score=max(alert.risk_score for alert in alerts),
        title=f"{len(alerts)} alerts held back",
        summary=f"{len(alerts)} alerts came faster than this receiver is told: {listed}. "
        f"The worst: {worst.title}.",
        subject=AlertSubject(type="model", ids=models[:8]),
        subjects_total=len(models),
        model=models[0] if len(models) == 1 else f"{len(models)} models",
        kind="digest",
        detector="vedette.respond",
        since=alerts[0].since,
        recommended_action="Look at each: `vedette alerts list`.",
        runbook=RUNBOOKS,
        incident="",
        state="digest",
        reason="digest",
        rule="digest",
        findings_total=len(alerts),
        held=tuple(held_of(alert) for alert in alerts),
    )
