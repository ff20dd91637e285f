"""The one table of severities: how every outside system names ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.finding import Severity


@dataclass(frozen=True, slots=True)
class SeverityLevel:
    """One severity in the words of others.

    ``risk_score`` is ECS ``event.risk_score``; ``ocsf`` is OCSF ``severity_id``.
    """

    risk_score: int
    alertmanager: str
    pagerduty: str
    ocsf: int


SEVERITIES: dict[Severity, SeverityLevel] = {
    "info": SeverityLevel(1, "info", "info", 1),
    "low": SeverityLevel(21, "warning", "info", 2),
    "medium": SeverityLevel(47, "warning", "warning", 3),
    "high": SeverityLevel(73, "critical", "error", 4),
    "critical": SeverityLevel(99, "critical", "critical", 5),
}

#: Severities in order, to compare them.
RANK: dict[Severity, int] = {severity: number for number, severity in enumerate(SEVERITIES)}
BY_RANK: tuple[Severity, ...] = tuple(SEVERITIES)
