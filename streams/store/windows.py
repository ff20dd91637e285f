"""Aggregates of a window of event time, of one model and tenant, made as documents are stored.

Each log adds up its own rows: clients keep to one partition, so the sum over logs is the whole.
A window is written once, when event time has passed it or its log has fallen silent; rows that
come later open another part of it. Its state is saved together with the log, so that a replay
counts nothing twice.

References
----------
Z. Bar-Yossef et al. Counting Distinct Elements in a Data Stream. RANDOM 2002: k minimum values.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from streams.store.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import IndexSettings
    from streams.store.row import Row

    #: Model, tenant, and start of a window in microseconds.
    _Key = tuple[str | None, str | None, int]

#: Clients of a window are counted exactly up to so many, within 3 % beyond.
MOST_HASHES = 1024
#: More windows are not held open: a model's name costs nothing to invent.
MOST_OPEN = 1024
_CACHED_CLIENTS = 1 << 16
_HASH_RANGE = (1 << 64) - 1
_MILLION = 1_000_000
_DENIED = frozenset({401, 403, 429, 451})


class WindowRules(NamedTuple):
    """How long a window is, and how long it waits for rows that come late."""

    length_us: int = 60 * _MILLION
    lateness_us: int = 30 * _MILLION

    @property
    def silence_s(self) -> float:
        """After so long without a row open windows are written."""
        return (self.length_us + self.lateness_us) / _MILLION


DEFAULT_RULES = WindowRules()


def window_rules(settings: IndexSettings) -> WindowRules:
    """Return the rules that settings ask for."""
    return WindowRules(settings.window_s * _MILLION, settings.window_lateness_s * _MILLION)


class _Window(msgspec.Struct, array_like=True):
    """An open window; ``first`` is the place in the log of the row that opened it."""

    model: str | None
    tenant: str | None
    start_us: int
    due_us: int
    first: int
    totals: Totals
    clients: set[int]
    bound: int = _HASH_RANGE

    def add(self, rows: Sequence[Row]) -> None:
        """Count rows of this window."""
        totals = self.totals
        measured = [row.measures for row in rows if row.measures is not None]
        totals.alerts += len(rows) - len(measured)
        if not measured:
            return
        totals.requests += len(measured)
        for status, count in Counter([item.status for item in measured]).items():
            totals.errors += count if status and status >= 400 else 0
            totals.denied += count if status in _DENIED else 0
        totals.unscanned += len(measured) - sum([item.scanned for item in measured])
        totals.input_tokens += sum([item.input_tokens or 0 for item in measured])
        totals.output_tokens += sum([item.output_tokens or 0 for item in measured])
        totals.add_latencies([item.latency_us for item in measured])
        totals.add_confidences([item.confidence for item in measured])
        for name in {row.client for row in rows if row.client is not None}:
            self._see(client_hash(name))

    def _see(self, found: int) -> None:
        """Keep the smallest hashes: how close they lie tells how many there are."""
        if found >= self.bound or found in self.clients:
            return
        self.clients.add(found)
        if len(self.clients) > MOST_HASHES:
            self.clients.discard(max(self.clients))
            self.bound = max(self.clients)

    def distinct_clients(self) -> int:
        """Return how many clients there were."""
        if self.bound == _HASH_RANGE:
            return len(self.clients)
        return round((MOST_HASHES - 1) * _HASH_RANGE / self.bound)


class Closed(NamedTuple):
    """A window that is done, under an id that a replay gives again; times in microseconds."""

    id: str
    model: str | None
    tenant: str | None
    start_us: int
    end_us: int
    clients: int
    totals: Totals


class _State(msgspec.Struct):
    watermark_us: int
    open: list[_Window]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_State)


class Windows:
    """The open windows of one log.

    Parameters
    ----------
    origin
        The log's name, part of the ids.
    rules
        When a window is closed.
    saved
        What `save` returned; empty: none are open.
    """

    def __init__(self, origin: str, rules: WindowRules, saved: bytes = b"") -> None:
        state = _decoder.decode(saved) if saved else _State(0, [])
        self._origin = origin
        self._rules = rules
        self._watermark_us = state.watermark_us
        self._open = {(item.model, item.tenant, item.start_us): item for item in state.open}
        self._touched_s = time.monotonic()

    def save(self) -> bytes:
        """Return what `Windows` needs to go on."""
        return _encode(_State(self._watermark_us, list(self._open.values())))

    def add(self, rows: Sequence[Row], first: int) -> list[Closed]:
        """Count rows that were appended to the log from place ``first`` on; return closed windows.

        Rows without measures count as alerts if they are any, and not otherwise.
        """
        counted = [row for row in rows if row.measures is not None or row.kind == "alert"]
        if not counted:
            return []
        for key, (place, group) in self._grouped(counted, first).items():
            self._window(key, place).add(group)
        newest_us = max([row.ts for row in counted])
        self._watermark_us = max(self._watermark_us, newest_us)
        self._touched_s = time.monotonic()
        return self._close_due()

    def _grouped(self, rows: Sequence[Row], first: int) -> dict[_Key, tuple[int, Sequence[Row]]]:
        """Return rows by their window, with the place of its first one."""
        length_us = self._rules.length_us
        starts = [row.ts // length_us for row in rows]
        models, tenants = {row.model for row in rows}, {row.tenant for row in rows}
        if len(models) == len(tenants) == 1 and min(starts) == max(starts):
            # The usual case: a chunk of one model within one minute.
            return {(models.pop(), tenants.pop(), starts[0] * length_us): (first, rows)}
        groups: dict[_Key, tuple[int, list[Row]]] = {}
        for place, (start, row) in enumerate(zip(starts, rows, strict=True), first):
            key = row.model, row.tenant, start * length_us
            groups.setdefault(key, (place, []))[1].append(row)
        return dict(groups)

    def seconds_until_due(self) -> float | None:
        """Return after how much silence the open windows are written; None if there are none."""
        if not self._open:
            return None
        return max(0.0, self._touched_s + self._rules.silence_s - time.monotonic())

    def flush(self) -> list[Closed]:
        """Close all windows: the log is silent."""
        return [self._close(key) for key in sorted(self._open, key=self._order)]

    def _window(self, key: _Key, place: int) -> _Window:
        window = self._open.get(key)
        if window is None:
            # A late part waits as long as any other, or every late row would be one.
            end_us = max(key[2] + self._rules.length_us, self._watermark_us)
            due_us = end_us + self._rules.lateness_us
            window = self._open[key] = _Window(*key, due_us, place, Totals(), set())
        return window

    def _close_due(self) -> list[Closed]:
        due = [key for key, item in self._open.items() if item.due_us <= self._watermark_us]
        excess = len(self._open) - len(due) - MOST_OPEN
        if excess > 0:
            rest = sorted(self._open.keys() - set(due), key=self._order)
            due += rest[:excess]
        return [self._close(key) for key in sorted(due, key=self._order)]

    def _order(self, key: _Key) -> int:
        return self._open[key].first

    def _close(self, key: _Key) -> Closed:
        window = self._open.pop(key)
        text = f"{self._origin}\0{window.first}\0{window.model}\0{window.tenant}\0{window.start_us}"
        return Closed(
            hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
            window.model,
            window.tenant,
            window.start_us,
            window.start_us + self._rules.length_us,
            window.distinct_clients(),
            window.totals,
        )


@lru_cache(maxsize=_CACHED_CLIENTS)
def client_hash(name: str) -> int:
    """Return the same 64 bits for a client everywhere and always."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
