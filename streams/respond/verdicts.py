"""Verdicts: what a gateway should do with a client, from when, until when.

The topic is compacted with the client as key, so a gateway that reads it from the start holds
the current verdict of everyone. A milder verdict does not replace a stronger one that still
holds, a person's word stands above all, and expired ones are removed with tombstones.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from detectors.finding import Severity
from streams.respond.actions import STRENGTH, Action
from streams.respond.times import event_time, iso, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: A verdict of equal strength is published again when it adds this share of its own length.
_WORTH_PROLONGING = 0.25
#: The strength of a person's word.
_ABOVE_ALL = 99
#: Clients whose ended verdicts are remembered, to know who offends again.
_MAX_OFFENDERS = 200_000


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with one client, schema ``verdict.v1``.

    ``shadow`` asks gateways to log what they would have done, and to do nothing. It holds from
    ``effective`` (``since`` if that is empty) to ``until``.
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
    effective: str = ""
    offence: int = 1
    by: Literal["policy", "human"] = "policy"


class VerdictBook:
    """The verdicts that hold, by client; time is that of the findings, not the clock's.

    Parameters
    ----------
    capacity
        Most clients remembered. The one that was judged longest ago is forgotten first; what it
        was told holds until it ends.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self._held: OrderedDict[str, Verdict] = OrderedDict()
        self.offences: OrderedDict[str, int] = OrderedDict()
        self._capacity = capacity
        self._latest = ""
        self._ends: list[tuple[str, str]] = []
        self._settled: dict[str, _Settled] = {}

    def __len__(self) -> int:
        return len(self._held)

    def held(self, client: str) -> Verdict | None:
        """Return what is held about a client, ended or not."""
        return self._held.get(client)

    def load(self, client: str, verdict: Verdict | None) -> None:
        """Take over what the topic holds for a client."""
        if verdict is None:
            self.forget(client)
        else:
            self._keep(verdict)

    def settled(self, client: str, action: Action, time_us: int) -> bool:
        """Tell quickly whether a finding at ``time_us`` that deserves ``action`` changes nothing.

        A flood asks this for each of its findings.
        """
        held = self._settled.get(client)
        if held is None or time_us >= held.until_us:
            return False
        strength = STRENGTH[action]
        if held.strength != strength:
            return held.strength > strength
        return time_us < held.prolonged_us

    def offence(self, client: str, time: str) -> int:
        """Return which offence of the client a finding at ``time`` is, 1 for the first."""
        held = self._held.get(client)
        if held is None or held.by == "human":
            return self.offences.get(client, 0) + 1
        return held.offence if held.until > time else held.offence + 1

    def judge(self, verdict: Verdict) -> Verdict | None:
        """Return the verdict to publish, None if what holds already says as much."""
        held = self._held.get(verdict.client)
        if held is not None and held.until > verdict.since:
            if held.by == "human" or STRENGTH[held.action] > STRENGTH[verdict.action]:
                return None
            if held.action == verdict.action:
                if not _worth_prolonging(held, verdict):
                    return None
                effective = min(held.effective or held.since, verdict.effective or verdict.since)
                verdict = msgspec.structs.replace(verdict, effective=effective)
            until = max(held.until, verdict.until)
            verdict = msgspec.structs.replace(verdict, until=until)
        self._keep(verdict)
        return verdict

    def overrule(self, verdict: Verdict) -> Verdict:
        """Take a person's word, whatever holds."""
        self._keep(verdict)
        return verdict

    def forget(self, client: str) -> bool:
        """Forget a client's verdict; true if there was one."""
        self._settled.pop(client, None)
        return self._held.pop(client, None) is not None

    def expire(self, now: datetime) -> Iterator[str]:
        """Forget and yield the clients whose verdict has run out at event time ``now``."""
        # Times of one form compare as text. A late finding must not turn the clock back.
        self._latest = max(self._latest, iso(now))
        while self._ends and self._ends[0][0] <= self._latest:
            _, client = heapq.heappop(self._ends)
            held = self._held.get(client)
            if held is not None and held.until > self._latest:
                continue  # it was prolonged
            if held is not None:
                self.forget(client)
                self._remember(held)
            # Also of whom there was no room to remember: its record must not stay for ever.
            yield client

    def _remember(self, verdict: Verdict) -> None:
        if verdict.by == "human":
            return
        self.offences[verdict.client] = verdict.offence
        self.offences.move_to_end(verdict.client)
        if len(self.offences) > _MAX_OFFENDERS:
            self.offences.popitem(last=False)

    def _keep(self, verdict: Verdict) -> None:
        self._held[verdict.client] = verdict
        self._held.move_to_end(verdict.client)
        self._settled[verdict.client] = _settled(verdict)
        heapq.heappush(self._ends, (verdict.until, verdict.client))
        if len(self._held) > self._capacity:
            client, _ = self._held.popitem(last=False)
            self._settled.pop(client, None)


class _Settled(NamedTuple):
    """What holds, in numbers: until when, and from when on prolonging it is worth a record."""

    strength: int
    prolonged_us: int
    until_us: int


def _settled(verdict: Verdict) -> _Settled:
    since_us = microseconds(event_time(verdict.since))
    until_us = microseconds(event_time(verdict.until))
    if verdict.by == "human":
        return _Settled(_ABOVE_ALL, until_us, until_us)
    prolonged_us = since_us + int((until_us - since_us) * _WORTH_PROLONGING)
    return _Settled(STRENGTH[verdict.action], prolonged_us, until_us)


def _worth_prolonging(held: Verdict, verdict: Verdict) -> bool:
    length = event_time(verdict.until) - event_time(verdict.since)
    return event_time(verdict.until) - event_time(held.until) > length * _WORTH_PROLONGING
