"""Whether people are told: a pure function of the incident, with a named reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.respond.severity import RANK

if TYPE_CHECKING:
    from streams.respond.incident import Incident, Reason
    from streams.rules.model import Updates

_MAX_DOUBLINGS = 16
#: Reasons for which an alert is written.
TELLING: frozenset[Reason] = frozenset(
    {
        "opened",
        "campaign_opened",
        "severity_rose",
        "evidence_grew",
        "campaign_grew",
        "still_firing",
        "resolved",
        "closed_by_analyst",
        "false_positive",
    }
)


def news(incident: Incident, updates: Updates, now_us: int) -> Reason:
    """Return what is new about an incident since people were last told.

    Parameters
    ----------
    now_us
        Time of the finding that raises the question.
    """
    told = incident.told
    if told is None:
        return "campaign_opened" if incident.key.scope == "campaign" else "opened"
    if RANK[incident.severity] > RANK[told.severity]:
        return "severity_rose"
    since_s = (now_us - told.at_us) / 1e6
    if _more_clients(incident, updates, since_s):
        return "campaign_grew"
    if _more_evidence(incident, updates):
        return "evidence_grew"
    if since_s >= updates.remind_s:
        return "still_firing" if incident.acknowledged_by is None else "acknowledged"
    return "no_news"


def _more_clients(incident: Incident, updates: Updates, since_s: float) -> bool:
    """Many more clients are news soon; a few more after a while that doubles each time.

    So everyone who joins is told of in the end, and a campaign of a day in a dozen alerts.
    """
    told = incident.told
    if told is None or incident.client_count <= told.clients:
        return False
    if incident.client_count >= told.clients * updates.growth:
        return since_s >= updates.growth_every_s
    patience = 2.0 ** min(incident.sequence - 1, _MAX_DOUBLINGS)
    return since_s >= updates.growth_every_s * patience


def _more_evidence(incident: Incident, updates: Updates) -> bool:
    """Only of one subject: among many clients somebody always has more evidence."""
    told = incident.told
    if told is None or incident.key.scope == "campaign":
        return False
    return incident.strongest.log_e >= max(told.log_e, 1.0) * updates.evidence
