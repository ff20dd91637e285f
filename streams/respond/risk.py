"""How urgent an incident is: evidence, repetition, spread, the model's worth, people's word."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from streams.respond.severity import BY_RANK, RANK, SEVERITIES

if TYPE_CHECKING:
    from config.respond import AssetValue
    from detectors.finding import Severity
    from streams.respond.incident import Incident

_ASSET_POINTS: dict[AssetValue, int] = {"low": -10, "normal": 0, "high": 10, "critical": 20}
_REPETITION_POINTS, _MAX_REPETITION_POINTS = 4, 12
_SPREAD_POINTS, _MAX_SPREAD_POINTS = 5, 20
_EVIDENCE_POINTS, _MAX_EVIDENCE_POINTS = 3, 9
#: A threshold is ln(run length) or a little more; evidence beyond twice that adds points.
_AMPLE_EVIDENCE = 2.0


def risk_score(incident: Incident, asset: AssetValue = "normal") -> int:
    """Return 1 to 100: ECS's score of the severity, plus what makes this incident worse."""
    severity = incident.ranking.of(incident.severity)
    points = SEVERITIES[severity].risk_score + _ASSET_POINTS[asset] + incident.ranking.points
    points += min(_MAX_REPETITION_POINTS, _REPETITION_POINTS * incident.earlier)
    points += min(_MAX_SPREAD_POINTS, _spread(incident.client_count))
    points += min(_MAX_EVIDENCE_POINTS, _evidence(incident))
    return max(1, min(100, points))


def raised(severity: Severity, asset: AssetValue) -> Severity:
    """Return the severity, one higher on the models that matter most."""
    return BY_RANK[min(len(BY_RANK) - 1, RANK[severity] + (asset == "critical"))]


def _spread(clients: int) -> int:
    return int(_SPREAD_POINTS * math.log10(clients)) if clients > 1 else 0


def _evidence(incident: Incident) -> int:
    threshold = math.log(max(2, incident.strongest.run_length))
    ratio = incident.strongest.log_e / (threshold * _AMPLE_EVIDENCE)
    if not math.isfinite(ratio) or ratio < 1:
        return 0
    return _EVIDENCE_POINTS * (1 + int(math.log2(min(ratio, 1e6))))
