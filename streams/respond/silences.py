"""Silences: a person's word that some alerts need not be told, until when, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from streams.respond.incident import Incident

MAX_SILENCES = 1000


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Mutes alerts that match everything that is set; times in microseconds."""

    id: str
    author: str
    reason: str
    until_us: int
    rule: str | None = None
    model: str | None = None
    client: str | None = None
    tenant: str | None = None

    def covers(self, incident: Incident) -> bool:
        """Tell whether the silence is about an incident."""
        return (
            self.rule in (None, incident.key.rule)
            and self.model in (None, incident.key.model)
            and self.tenant in (None, incident.tenant)
            and (self.client is None or set(incident.clients) == {self.client})
        )


class Silences:
    """The silences in force, by id."""

    def __init__(self, silences: tuple[Silence, ...] = ()) -> None:
        self._held = {silence.id: silence for silence in silences}

    def add(self, silence: Silence) -> None:
        """Add one; the one that ends first makes room."""
        self._held[silence.id] = silence
        if len(self._held) > MAX_SILENCES:
            first = min(self._held.values(), key=lambda item: item.until_us)
            del self._held[first.id]

    def end(self, identity: str) -> None:
        """End one early; harmless if there is none."""
        self._held.pop(identity, None)

    def covering(self, incident: Incident, now_us: int) -> Silence | None:
        """Return a silence that holds at ``now_us`` and covers the incident."""
        for identity in [key for key, item in self._held.items() if item.until_us <= now_us]:
            del self._held[identity]
        return next((item for item in self._held.values() if item.covers(incident)), None)

    def all(self) -> tuple[Silence, ...]:
        """Return all of them."""
        return tuple(self._held.values())
