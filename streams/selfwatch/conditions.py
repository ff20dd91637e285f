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
        name="lost",
        title="Records were lost unread",
        severity="critical",
        meaning=(
            "A role was behind for longer than its topic keeps records, so Kafka deleted some "
            "before they were read. What they held was not watched or not kept."
        ),
        respond=(
            "Start the role, or more workers of it, before more is deleted.",
            "Raise the retention of the topic if this load is real.",
            "Send again what producers still have.",
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
            "of ingest, or of detect. Silence of the detectors means nothing while this lasts."
        ),
        respond=(
            "Ask whether the served model is in use at all.",
            "Look at the producers, the dead letters, and the logs of ingest and detect.",
        ),
    ),
    Condition(
        name="clock",
        title="Clocks disagree",
        severity="medium",
        meaning=(
            "Events are dated in the future, or the host of a role has another time than that of "
            "respond. Windows, verdicts and incidents go by event time, so they end too early or "
            "too late."
        ),
        respond=(
            (
                "Compare the clocks of producers, broker, the host that is named and this one "
                "(chrony, NTP)."
            ),
        ),
    ),
    Condition(
        name="shed",
        title="Load was shed",
        severity="medium",
        meaning=(
            "A process had no room for what came. Incidents closed early: no finding was lost, "
            "counts begin again. Interactions of models without room: they are audited and not "
            "watched. Halves that no longer waited: calls are watched by halves. Requests sent "
            "away: the sender must come again."
        ),
        respond=(
            (
                "Find what makes so many: `vedette alerts incidents`, or the busiest clients in "
                "the audit trail."
            ),
            (
                "If the load is real: raise VEDETTE_RESPOND__MAX_INCIDENTS, "
                "VEDETTE_INGEST__MAX_PENDING_HALVES or VEDETTE_INTAKE__MAX_WAITING_BYTES, or start "
                "more workers."
            ),
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
