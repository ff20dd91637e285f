"""The answer a gateway gets: the table's, or what its tenant has chosen where the table is blind.

Fail open: who cannot be judged passes. Fail closed: who cannot be judged is blocked. It is a
choice of each tenant (`VerdictsSettings`), never an accident.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from streams.respond.actions import STRENGTH
from streams.respond.times import iso
from streams.verdicts.table import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.respond import VerdictsSettings
    from streams.respond.actions import Action
    from streams.verdicts.table import VerdictTable


class Judgement:
    """Answers for clients.

    Parameters
    ----------
    table
        Current verdicts.
    settings
        Who fails open and who closed, who is in shadow.
    age_s
        Gives how long the table has not been heard of.
    now
        Gives the time; replaced by tests.
    """

    def __init__(
        self,
        table: VerdictTable,
        settings: VerdictsSettings,
        age_s: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._table = table
        self._settings = settings
        self._age_s = age_s
        self._now = now

    def of(self, client: str, tenant: str | None = None) -> Answer:
        """Return what to do with a client.

        Parameters
        ----------
        tenant
            Whose policy holds; by default that of the traffic that led to the verdict.
        """
        return self.of_any((client,), tenant)[1]

    def of_any(self, clients: Sequence[str], tenant: str | None = None) -> tuple[str, Answer]:
        """Return what to do with a client of several pseudonyms, and the one that decided.

        What was said of it under an earlier key holds until it ends: a person's word first, then
        the strongest, then that of the newest key.
        """
        answers = [(client, self._of(client, self._tenant(clients, tenant))) for client in clients]
        return max(answers, key=lambda item: _weight(item[1]))

    def _tenant(self, clients: Sequence[str], tenant: str | None) -> str | None:
        found = (self._table.tenant_of(client) for client in clients)
        return tenant or next(filter(None, found), None)

    def _of(self, client: str, named: str | None) -> Answer:
        policy = self._settings.tenants.get(named) if named else None
        if self._age_s() > self._settings.stale_s:
            fail = self._settings.fail if policy is None else policy.fail
            action: Action = "allow" if fail == "open" else "block"
            return Answer(action, shadow=False, until="", reason=f"fail_{fail}", source="stale")
        answer = self._table.ask(client, iso(self._now()))
        if policy is not None and policy.shadow is not None:
            answer = answer._replace(shadow=policy.shadow)
        return answer


def _weight(answer: Answer) -> tuple[bool, bool, bool, int]:
    holds = answer.source == "verdict"
    return holds, not answer.shadow, answer.action == "allow", STRENGTH[answer.action]
