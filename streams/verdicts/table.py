"""The local table of verdicts: one dictionary look-up a question, whatever its size.

A gateway in Python holds one of these and keeps it current with `streams.verdicts.follow`:

Examples
--------
>>> from streams.respond.verdicts import Verdict
>>> table = VerdictTable()
>>> table.take(b"u1_a", Verdict(
...     client="u1_a", action="block", since="2026-01-01T00:00:00.000000Z",
...     until="2026-01-01T01:00:00.000000Z", reason="extraction", severity="critical",
...     finding="f", model="m", tenant=None, shadow=False))
>>> table.ask("u1_a", "2026-01-01T00:30:00.000000Z").action
'block'
>>> table.ask("u1_a", "2026-01-01T01:30:00.000000Z").action
'allow'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from streams.respond.actions import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.respond.verdicts import Verdict

Source = Literal["verdict", "none", "not_yet", "expired", "stale"]


class Answer(NamedTuple):
    """What to do with a client now.

    ``shadow``: log ``action``, and let the client pass. ``source`` says why this is the answer.
    """

    action: Action
    shadow: bool
    until: str
    reason: str
    source: Source


class _Entry(msgspec.Struct, frozen=True, gc=False):
    action: Action
    shadow: bool
    effective: str
    until: str
    reason: str
    tenant: str | None
    by: str


_NONE = Answer("allow", shadow=False, until="", reason="", source="none")
#: Words that repeat a million times are kept once.
_MAX_WORDS = 10_000


class VerdictTable:
    """Current verdicts by client.

    Parameters
    ----------
    max_entries
        Most clients held; beyond them the oldest entry goes, and `dropped` counts it.
    """

    def __init__(self, max_entries: int = 4_000_000) -> None:
        self._entries: dict[str, _Entry] = {}
        self._max_entries = max_entries
        self._words: dict[str, str] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, key: bytes, verdict: Verdict | None) -> None:
        """Take over one record of the topic; None is a tombstone."""
        client = key.decode(errors="replace")
        if verdict is None:
            self._entries.pop(client, None)
            return
        self._entries[client] = _Entry(
            verdict.action,
            verdict.shadow,
            verdict.effective or verdict.since,
            verdict.until,
            self._word(verdict.reason),
            None if verdict.tenant is None else self._word(verdict.tenant),
            verdict.by,
        )
        if len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]
            self.dropped += 1

    def ask(self, client: str, now: str) -> Answer:
        """Return what to do with a client at a time, ISO 8601 in UTC with microseconds."""
        entry = self._entries.get(client)
        if entry is None:
            return _NONE
        # Times of one form compare as text.
        if entry.until <= now:
            return Answer("allow", shadow=False, until="", reason="", source="expired")
        if entry.effective > now:
            return Answer("allow", shadow=False, until="", reason="", source="not_yet")
        return Answer(entry.action, entry.shadow, entry.until, entry.reason, "verdict")

    def tenant_of(self, client: str) -> str | None:
        """Return the tenant whose traffic led to a client's verdict."""
        entry = self._entries.get(client)
        return None if entry is None else entry.tenant

    def holding(self, action: Action, now: str) -> Iterator[str]:
        """Yield the clients for which an action holds and is no shadow."""
        for client, entry in self._entries.items():
            if entry.action == action and not entry.shadow and entry.effective <= now < entry.until:
                yield client

    def _word(self, text: str) -> str:
        if len(self._words) >= _MAX_WORDS:
            self._words.clear()
        return self._words.setdefault(text, text)
