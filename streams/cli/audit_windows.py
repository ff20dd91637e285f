"""``vedette audit windows``: what was added up, as a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from streams.cli.view import add_row, audit_reader, table

if TYPE_CHECKING:
    from streams.store.search import Query

_COLUMNS = ("requests", "clients", "errors", "denied", "unscanned", "alerts")


class _Named(msgspec.Struct, frozen=True):
    name: str | None = None
    id: str | None = None


class _Latency(msgspec.Struct, frozen=True):
    p50: int | None = None
    p95: int | None = None


class _Counts(msgspec.Struct, frozen=True):
    requests: int = 0
    clients: int = 0
    errors: int = 0
    denied: int = 0
    unscanned: int = 0
    alerts: int = 0
    latency: _Latency = _Latency()


class _Own(msgspec.Struct, frozen=True):
    window: _Counts
    model: _Named = _Named()


class _Window(msgspec.Struct, frozen=True, rename={"timestamp": "@timestamp"}):
    timestamp: str
    vedette: _Own
    organization: _Named = _Named()


def print_windows(query: Query, *, as_json: bool) -> None:
    """Print windows, newest first."""
    with audit_reader() as reader:
        found = reader.windows(query)
    if as_json:
        sys.stdout.writelines(body.decode() + "\n" for body in found)
        return
    shown = table(
        f"{len(found)} windows", "begins (UTC)", "model", "tenant", *_COLUMNS, "p50 ms", "p95 ms"
    )
    for body in found:
        window = msgspec.json.decode(body, type=_Window)
        counts = window.vedette.window
        add_row(
            shown,
            window.timestamp[:19].replace("T", " "),
            window.vedette.model.name,
            window.organization.id,
            *(getattr(counts, name) for name in _COLUMNS),
            _ms(counts.latency.p50),
            _ms(counts.latency.p95),
        )
    Console().print(shown)


def _ms(time_ns: int | None) -> str | None:
    return None if time_ns is None else f"{time_ns / 1e6:,.1f}"
