"""The local table of verdicts: one dictionary look-up a question, whatever its size.

A gateway in Python holds one of these and keeps it current with `streams.verdicts.follow`:

Examples
--------
>>> table = VerdictTable()
>>> table.take(b"u1_a", b'''{"action": "block", "since": "2026-01-01T00:00:00.000000Z",
...     "until": "2026-01-01T01:00:00.000000Z", "reason": "extraction", "shadow": false}''')
True
>>> table.ask("u1_a", "2026-01-01T00:30:00.000000Z").action
'block'
>>> table.ask("u1_a", "2026-01-01T01:30:00.000000Z").action
'allow'
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

import msgspec

from streams.respond.actions import Action

_SLICE = 256
_NEVER = "9999"
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


class Blocked(NamedTuple):
    """Who is blocked, and until when that stays so if no record comes."""

    clients: frozenset[str]
    until: str


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """What the table needs of a verdict; decoded from the record itself, without a copy."""

    action: Action
    shadow: bool
    since: str
    until: str
    reason: str
    effective: str = ""
    tenant: str | None = None

    @property
    def begins(self) -> str:
        """When it begins; older verdicts have no word for that."""
        return self.effective or self.since


_decoder = msgspec.json.Decoder(_Entry)


_NONE = Answer("allow", shadow=False, until="", reason="", source="none")


class VerdictTable:
    """Current verdicts by client.

    Parameters
    ----------
    max_entries
        Most clients held; beyond them the oldest entry goes, and `dropped` counts it.

    Attributes
    ----------
    block_changes
        Counts the records that may have changed who is blocked.
    """

    def __init__(self, max_entries: int = 4_000_000) -> None:
        self._entries: dict[str, _Entry] = {}
        self._blocked: set[str] = set()
        self._max_entries = max_entries
        self.dropped = 0
        self.block_changes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, key: bytes, value: bytes | None) -> bool:
        """Take over one record, a tombstone if it has no value; false if it is neither."""
        client = key.decode(errors="replace")
        if value is None:
            self._forget(client)
            return True
        try:
            entry = self._entries[client] = _decoder.decode(value)
        except msgspec.DecodeError:
            return False
        if entry.action == "block" and not entry.shadow:
            self._blocked.add(client)
            self.block_changes += 1
        else:
            self._unblock(client)
        if len(self._entries) > self._max_entries:
            self._forget(next(iter(self._entries)))
            self.dropped += 1
        return True

    def ask(self, client: str, now: str) -> Answer:
        """Return what to do with a client at a time, ISO 8601 in UTC with microseconds."""
        entry = self._entries.get(client)
        if entry is None:
            return _NONE
        # Times of one form compare as text.
        if entry.until <= now:
            return Answer("allow", shadow=False, until="", reason="", source="expired")
        if entry.begins > now:
            return Answer("allow", shadow=False, until="", reason="", source="not_yet")
        return Answer(entry.action, entry.shadow, entry.until, entry.reason, "verdict")

    def tenant_of(self, client: str) -> str | None:
        """Return the tenant whose traffic led to a client's verdict."""
        entry = self._entries.get(client)
        return None if entry is None else entry.tenant

    def blocked(self, now: str) -> Blocked:
        """Return the clients that are to be blocked at a time; any thread may ask."""
        clients: set[str] = set()
        until = _NEVER
        # A copy, made at once: records come while it is walked.
        for number, client in enumerate(list(self._blocked)):
            if number % _SLICE == 0:
                time.sleep(0)  # look-ups in other threads need not wait for all of it
            entry = self._entries.get(client)
            if entry is None or entry.until <= now:
                continue
            if entry.begins <= now:
                clients.add(client)
            until = min(until, entry.until if entry.begins <= now else entry.begins)
        return Blocked(frozenset(clients), until)

    def _forget(self, client: str) -> None:
        self._entries.pop(client, None)
        self._unblock(client)

    def _unblock(self, client: str) -> None:
        if client in self._blocked:
            self._blocked.discard(client)
            self.block_changes += 1
