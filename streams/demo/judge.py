"""Who was caught, how fast, and who was wronged: the outcome of a demo, from what was seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from streams.demo.attacks.target import Success

if TYPE_CHECKING:
    from collections.abc import Collection


class SeenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it came out of Vedette.

    ``at_s`` is when it was read from the topic, by the clock that the attackers' queries are
    timed with; ``events`` is how many interactions the detector had seen of the subject, and
    ``delay_s`` the time since the interaction that made it cross.
    """

    id: str
    at_s: float
    subject_type: str
    clients: tuple[str, ...]
    kind: str
    detector: str
    events: int
    delay_s: float


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """An attacker and what it did; ``problem`` says why it could not go on, if it could not."""

    name: str
    goal: str
    client: str
    asked_s: Sequence[float]
    success: Success | None
    problem: str | None = None


class AttackerOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went for one attacker; times count from its first query.

    ``queries_at_alert`` are those it had made when the alert could be read, so that they hold
    every delay of the way; ``events_at_trigger`` are those the detector needed.
    """

    name: str
    goal: str
    client: str
    queries: int
    alerted: bool
    queries_at_alert: int | None
    seconds_at_alert: float | None
    events_at_trigger: int | None
    kinds: tuple[str, ...]
    success_queries: int | None
    success_s: float | None
    success_detail: str | None
    stopped_in_time: bool
    problem: str | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo's outcome.

    ``false_alarms`` are the clients alarmed that are no planted attackers.
    """

    attackers: tuple[AttackerOutcome, ...]
    benign_clients: int
    false_alarms: tuple[str, ...]
    alerts: int
    alert_delay_median_s: float | None
    passed: bool


def judge(
    planted: Sequence[Planted], benign: Collection[str], alerts: Sequence[SeenAlert]
) -> Outcome:
    """Compare the alerts with who was planted.

    Parameters
    ----------
    planted
        The attackers.
    benign
        Pseudonyms of the clients that were seen asking and are no attackers.
    alerts
        All alerts, in any order.
    """
    outcomes = tuple(_outcome(attacker, alerts) for attacker in planted)
    attackers = {attacker.client for attacker in planted}
    named = {client for alert in alerts for client in alert.clients}
    false_alarms = tuple(sorted(named - attackers))
    caught = bool(outcomes) and all(
        outcome.stopped_in_time and outcome.problem is None for outcome in outcomes
    )
    return Outcome(
        attackers=outcomes,
        benign_clients=len(set(benign)),
        false_alarms=false_alarms,
        alerts=len(alerts),
        alert_delay_median_s=(
            round(median(alert.delay_s for alert in alerts), 3) if alerts else None
        ),
        passed=caught and not false_alarms,
    )


def _outcome(attacker: Planted, alerts: Sequence[SeenAlert]) -> AttackerOutcome:
    mine = sorted(
        (alert for alert in alerts if attacker.client in alert.clients),
        key=lambda alert: alert.at_s,
    )
    first = mine[0] if mine else None
    began_s = attacker.asked_s[0] if attacker.asked_s else None
    success = attacker.success
    return AttackerOutcome(
        name=attacker.name,
        goal=attacker.goal,
        client=attacker.client,
        queries=len(attacker.asked_s),
        alerted=first is not None,
        queries_at_alert=bisect_right(attacker.asked_s, first.at_s) if first else None,
        seconds_at_alert=_since(began_s, first.at_s if first else None),
        events_at_trigger=first.events if first else None,
        kinds=tuple(dict.fromkeys(alert.kind for alert in mine)),
        success_queries=success.queries if success else None,
        success_s=_since(began_s, success.at_s if success else None),
        success_detail=success.detail if success else None,
        stopped_in_time=first is not None and (success is None or first.at_s < success.at_s),
        problem=attacker.problem,
    )


def _since(began_s: float | None, at_s: float | None) -> float | None:
    return None if began_s is None or at_s is None else round(at_s - began_s, 3)
