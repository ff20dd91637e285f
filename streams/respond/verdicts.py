"""Verdicts: what a gateway should do with a client, until when.

The topic is compacted with the client as key, so a gateway that reads it from the start holds
the current verdict of everyone. A milder verdict does not replace a stronger one that still
holds, and expired ones are removed with tombstones.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from detectors.finding import Severity
from streams.respond.times import event_time, iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from detectors.finding import Finding

Action = Literal["watch", "throttle", "challenge", "block"]
_STRENGTH: dict[Action, int] = {"watch": 0, "throttle": 1, "challenge": 2, "block": 3}

_BY_SEVERITY: dict[Severity, Action | None] = {
    "info": None,
    "low": "watch",
    "medium": "throttle",
    "high": "challenge",
    "critical": "block",
}
#: Kinds that say little about intent are never answered with more than this.
_CEILING: dict[str, Action] = {"anomaly": "watch", "burst": "throttle", "drift": "watch"}
_PERSONAL_SUBJECTS = frozenset({"client", "campaign"})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with one client, schema ``verdict.v1``.

    ``shadow`` asks gateways to log what they would have done, and to do nothing.
    """

    client: str
    action: Action
    since: str
    until: str
    reason: str
    severity: Severity
    finding: str
    model: str
    tenant: str | None
    shadow: bool


def action_for(severity: Severity, kind: str) -> Action | None:
    """Return what a finding of this severity and kind deserves, None if nothing."""
    action = _BY_SEVERITY[severity]
    ceiling = _CEILING.get(kind)
    if action is None or ceiling is None:
        return action
    return min(action, ceiling, key=_STRENGTH.__getitem__)


def verdicts_of(finding: Finding, *, ttl_s: float, shadow: bool) -> tuple[Verdict, ...]:
    """Return one verdict a client that the finding is about; none for models and tenants."""
    action = action_for(finding.severity, finding.kind)
    if action is None or finding.subject.type not in _PERSONAL_SUBJECTS:
        return ()
    time = event_time(finding.time)
    return tuple(
        Verdict(
            client=client,
            action=action,
            since=iso(time),
            until=iso(time + timedelta(seconds=ttl_s)),
            reason=finding.kind,
            severity=finding.severity,
            finding=finding.id,
            model=finding.model,
            tenant=finding.tenant,
            shadow=shadow,
        )
        for client in finding.subject.ids
    )


class VerdictBook:
    """The verdicts that hold, by client; time is that of the findings, not the clock's.

    Parameters
    ----------
    capacity
        Most clients remembered. The one that was judged longest ago is forgotten first; its
        record stays in the topic until its client is judged again.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._held: OrderedDict[str, Verdict] = OrderedDict()
        self._capacity = capacity
        self._latest = ""
        self._ends: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._held)

    def load(self, client: str, verdict: Verdict | None) -> None:
        """Take over what the topic holds for a client."""
        if verdict is None:
            self._held.pop(client, None)
        else:
            self._keep(verdict)

    def judge(self, verdict: Verdict) -> Verdict:
        """Return the verdict to publish: the new one, or a stronger one that still holds."""
        held = self._held.get(verdict.client)
        if held is not None and held.until > verdict.since:
            if _STRENGTH[held.action] > _STRENGTH[verdict.action]:
                return held
            until = max(held.until, verdict.until)
            verdict = msgspec.structs.replace(verdict, until=until)
        self._keep(verdict)
        return verdict

    def expire(self, now: datetime) -> Iterator[str]:
        """Forget and yield the clients whose verdict has run out at event time ``now``."""
        # Times of one form compare as text. A late finding must not turn the clock back.
        self._latest = max(self._latest, iso(now))
        while self._ends and self._ends[0][0] <= self._latest:
            _, client = heapq.heappop(self._ends)
            held = self._held.get(client)
            if held is not None and held.until <= self._latest:
                del self._held[client]
                yield client

    def _keep(self, verdict: Verdict) -> None:
        self._held[verdict.client] = verdict
        self._held.move_to_end(verdict.client)
        heapq.heappush(self._ends, (verdict.until, verdict.client))
        if len(self._held) > self._capacity:
            self._held.popitem(last=False)
