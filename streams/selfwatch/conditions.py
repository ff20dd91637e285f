"""What can be wrong with Vedette itself, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.finding import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that is watched; ``name`` is also the section of the runbooks."""

    name: str
    title: str
    severity: Severity
    meaning: str
    respond: tuple[str, ...]


_ALL = (
    Condition(
        name="heartbeat",
        title="Vedette is alive",
        severity="info",
        meaning=(
            "Written every minute while respond reads and writes Kafka. When it stops coming, "
            "something between respond and the receiver is broken: the receiver must alert then."
        ),
        respond=(
            "Do nothing while it comes.",
            "When it stops, look at respond (`vedette health respond`) and at the broker.",
            "If both are well, look at the sink: `vedette notify test NAME`.",
        ),
    ),
    Condition(
        name="lag",
        title="A role is behind",
        severity="high",
        meaning=(
            "Records wait for a role, many of them or for long. Findings come late; with lag "
            "beyond the retention of its topic, records are lost unseen."
        ),
        respond=(
            "Look at the role's log and at `vedette health ROLE`.",
            "If it is alive and busy, start another worker of the role, up to the partitions.",
        ),
    ),
    Condition(
        name="deadletters",
        title="Many dead letters",
        severity="medium",
        meaning=(
            "Records are refused at an unusual rate: a producer has changed, or somebody sends "
            "what makes a decoder stumble."
        ),
        respond=(
            "Read the header vedette-error-class of the newest records of the dead-letter topic.",
            "Repair the producer. Traffic that is not decoded is not watched.",
        ),
    ),
    Condition(
        name="blind",
        title="No events where there should be",
        severity="high",
        meaning=(
            "There was traffic and now there is none, or producers write and nothing comes out "
            "of ingest. Silence of the detectors means nothing while this lasts."
        ),
        respond=(
            "Ask whether the served model is in use at all.",
            "Look at the producers, then at the log of ingest and its dead letters.",
        ),
    ),
    Condition(
        name="clock",
        title="Clocks disagree",
        severity="medium",
        meaning=(
            "Events are dated in the future of this host. Windows, verdicts and incidents go by "
            "event time, so they end too early or too late."
        ),
        respond=("Compare the clocks of producers, broker and this host (chrony, NTP).",),
    ),
    Condition(
        name="shed",
        title="Incidents closed for want of room",
        severity="medium",
        meaning=(
            "There are more open incidents than memory is meant for; the oldest were closed "
            "early. No finding was lost, but counts of what was closed begin again."
        ),
        respond=(
            "Find what opens so many: `vedette alerts list`.",
            "Raise VEDETTE_RESPOND__MAX_INCIDENTS if this load is real.",
        ),
    ),
    Condition(
        name="sink",
        title="A sink is disabled",
        severity="high",
        meaning=(
            "A receiver answered 410 Gone, or took nothing until the retry schedule was "
            "exhausted. Its alerts wait in Kafka; the others have told you."
        ),
        respond=(
            "Repair the receiver or its settings, try `vedette notify test NAME`.",
            "Restart respond: it goes on with the first alert that did not arrive.",
        ),
    ),
)

CONDITIONS: dict[str, Condition] = {condition.name: condition for condition in _ALL}
