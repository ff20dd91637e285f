"""Incidents as an analyst sees them: the alerts topic folded, with what people said of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from config.errors import ConfigError, PoisonRecord
from streams.cli.feedback import say
from streams.cli.topic_view import read_topic
from streams.respond.alerts import PASSING, Alert
from streams.respond.facts import facts
from streams.respond.feedback import decode_feedback
from streams.respond.text import shown
from streams.topics import ALERTS, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.respond.feedback import Verb

MAX_INCIDENTS = 50_000
_STATUS: dict[str, str] = {
    "ack": "acknowledged",
    "resolve": "resolved",
    "false_positive": "false positive",
}
_decoder = msgspec.json.Decoder(Alert)


@dataclass
class SeenIncident:
    """The last alert of an incident, the ids of all, and who said what of it."""

    last: Alert
    alerts: set[str]
    status: str = ""
    author: str = ""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.last.state == "resolved" or self.status in ("resolved", "false positive")


def read_incidents() -> list[SeenIncident]:
    """Return the incidents of the alerts topic, the latest first."""
    found: dict[str, SeenIncident] = {}

    def take_alert(_: bytes | None, value: bytes | None) -> None:
        try:
            alert = _decoder.decode(value or b"")
        except msgspec.DecodeError:
            return
        if not alert.incident or alert.state in PASSING:
            return
        known = found.pop(alert.incident, None)
        alerts = {alert.id} if known is None else known.alerts | {alert.id}
        found[alert.incident] = SeenIncident(alert, alerts)
        if len(found) > MAX_INCIDENTS:
            del found[next(iter(found))]

    def take_feedback(_: bytes | None, value: bytes | None) -> None:
        try:
            said = decode_feedback(value)
        except PoisonRecord:
            return
        if said.verb in _STATUS and said.target in found:
            item = found[said.target]
            item.status, item.author = _STATUS[said.verb], said.author

    read_topic(ALERTS, take_alert)
    read_topic(FEEDBACK, take_feedback)
    return list(reversed(found.values()))


def find_incident(identity: str) -> SeenIncident:
    """Return the incident that has this id, or the beginning of it, or an alert with it.

    Raises
    ------
    ConfigError
        If there is none, or more than one.
    """
    matching = [
        item
        for item in read_incidents()
        if item.last.incident.startswith(identity)
        or any(alert.startswith(identity) for alert in item.alerts)
    ]
    if len(matching) == 1 and identity:
        return matching[0]
    what = "no incident or alert has" if not matching else "several incidents begin with"
    raise ConfigError(f"{what} the id {shown(identity, 64)!r}; see `vedette alerts incidents`")


def judge_incident(verb: Verb, identity: str, *, reason: str, author: str | None) -> None:
    """Write a person's word on an incident."""
    alert = find_incident(identity).last
    client = None
    if alert.subject.type == "client" and alert.subject.ids:
        client = alert.subject.ids[0]
    say(
        verb,
        alert.incident,
        author=author,
        reason=reason,
        rule=alert.rule or None,
        model=alert.model,
        client=client,
        tenant=alert.tenant,
        finding=alert.finding or None,
        kind=alert.kind,
        detector=alert.detector,
    )


def explanation_lines(item: SeenIncident) -> Iterator[str]:
    """Yield what an analyst wants to read."""
    alert = item.last
    yield f"{alert.title} ({alert.severity}, risk {alert.risk_score})"
    yield alert.summary
    yield from map(str, facts(alert))
