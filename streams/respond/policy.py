"""What a finding deserves: graduated, for a time, not at once, and never against the allow-list."""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from streams.respond.actions import Action, milder
from streams.respond.times import event_time, iso, microseconds
from streams.respond.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.respond import RespondSettings
    from detectors.finding import Finding, Severity
    from streams.respond.verdicts import VerdictBook
    from streams.rules.model import Rule

_BY_SEVERITY: dict[Severity, Action | None] = {
    "info": None,
    "low": "watch",
    "medium": "throttle",
    "high": "challenge",
    "critical": "block",
}
#: Evidence that an action needs, in multiples of ln(run length), where detectors begin to alarm.
_NEEDS: dict[Action, float] = {
    "allow": 0.0,
    "watch": 0.0,
    "throttle": 0.5,
    "challenge": 0.75,
    "block": 1.5,
}
_LADDER: tuple[Action, ...] = ("watch", "throttle", "challenge", "block")
_PERSONAL_SUBJECTS = frozenset({"client", "campaign"})


def action_for(finding: Finding, ceiling: Action | None, offence: int = 1) -> Action | None:
    """Return what a finding deserves, None if nothing.

    The severity proposes; a client that offends again gets the next stronger; evidence and the
    rule's ceiling hold back.
    """
    action = _BY_SEVERITY[finding.severity]
    if action is None or ceiling is None:
        return None
    if offence > 1:
        action = _LADDER[min(len(_LADDER) - 1, _LADDER.index(action) + 1)]
    action = milder(action, ceiling)
    evidence = finding.log_e / math.log(max(3, finding.run_length))
    while action != "watch" and not evidence >= _NEEDS[action]:
        action = _LADDER[_LADDER.index(action) - 1]
    return action


class VerdictPolicy:
    """Judges the clients of a finding.

    Parameters
    ----------
    settings
        Section of the settings.
    chance
        Gives a number from 0 to 1 for a finding and client: secret, so that an attacker cannot
        foresee when a verdict begins, and always the same, so that a replay repeats it.
    """

    def __init__(self, settings: RespondSettings, chance: Callable[[str], float]) -> None:
        self._settings = settings
        self._chance = chance
        self._allowed = frozenset(settings.verdict_allow)
        self._allowed_tenants = frozenset(settings.verdict_allow_tenants)

    def verdicts(self, finding: Finding, rule: Rule, book: VerdictBook) -> list[Verdict]:
        """Return the verdicts to publish: those that change what holds."""
        if finding.subject.type not in _PERSONAL_SUBJECTS or rule.response is None:
            return []
        if finding.tenant in self._allowed_tenants:
            return []
        least = action_for(finding, rule.response)
        if least is None:
            return []
        time_us = microseconds(event_time(finding.time))
        found = (
            book.judge(verdict)
            for client in finding.subject.ids
            if not book.settled(client, least, time_us)
            and client not in self._allowed
            and (verdict := self._verdict(finding, rule, client, book)) is not None
        )
        return [verdict for verdict in found if verdict is not None]

    def _verdict(
        self, finding: Finding, rule: Rule, client: str, book: VerdictBook
    ) -> Verdict | None:
        time = event_time(finding.time)
        settings = self._settings
        offence = min(settings.verdict_offences, book.offence(client, iso(time)))
        action = action_for(finding, rule.response, offence)
        if action is None:
            return None
        delay_s = self._chance(f"{finding.id}\0{client}") * settings.verdict_delay_s
        lasts_s = settings.verdict_ttl_s * 2 ** (offence - 1)
        return Verdict(
            client=client,
            action=action,
            since=iso(time),
            effective=iso(time + timedelta(seconds=delay_s)),
            until=iso(time + timedelta(seconds=delay_s + lasts_s)),
            reason=finding.kind,
            severity=finding.severity,
            finding=finding.id,
            model=finding.model,
            tenant=finding.tenant,
            shadow=settings.verdict_shadow,
            offence=offence,
        )


def secret_chance(pseudonym: Callable[[str, str], str]) -> Callable[[str], float]:
    """Return a number from 0 to 1 by name, that nobody without the pseudonyms' key can tell."""

    def chance(name: str) -> float:
        digest = hashlib.blake2b(pseudonym("verdict", name).encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2.0**64

    return chance
