"""Erasing content so that the logs stay verifiable.

The body of a document and what was copied out of it go; its id, hash and place stay. A record of
the erasure is chained like any other, so that content that was erased by the rules can be told
from content that somebody took away.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from streams.respond.times import iso
from streams.store import ecs
from streams.store.row import Row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

#: Records of one transaction, and of one record of it.
BATCH = 5000
ID_PREFIX = "erasure-"

_FIND = (
    "SELECT documents.seq, logs.origin, documents.position FROM documents "
    "JOIN logs ON logs.id = documents.log WHERE length(body) > 0 "
    "AND (?1 IS NULL OR client = ?1) AND (?2 IS NULL OR tenant = ?2) "
    "AND (?3 IS NULL OR ts < ?3) AND coalesce(tenant, '') NOT IN (SELECT value FROM json_each(?4)) "
    "AND substr(event_id, 1, 8) <> 'erasure-' "
    "ORDER BY documents.log, documents.position LIMIT ?5"
)
_ERASE = (
    "UPDATE documents SET body = x'', client = NULL, model = NULL, rule_id = NULL, tenant = NULL "
    "WHERE seq = ?"
)
_RECORDS = (
    "SELECT body FROM documents WHERE event_id >= 'erasure-' AND event_id < 'erasure.' "
    "AND length(body) > 0"
)

#: Windows name no client, so a person's erasure leaves them.
_WINDOWS = (
    "DELETE FROM windows WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR ts < ?2) "
    "AND coalesce(tenant, '') NOT IN (SELECT value FROM json_each(?3))"
)

Reason = Literal["retention", "request"]


class Erasure(NamedTuple):
    """Whose content goes: of a client, of a tenant, from before a time (microseconds)."""

    reason: Reason
    client: str | None = None
    tenant: str | None = None
    before_us: int | None = None
    except_tenants: tuple[str, ...] = ()


class Erased(NamedTuple):
    """Places in one log whose content went."""

    origin: str
    positions: tuple[int, ...]


def erase_some(connection: sqlite3.Connection, erasure: Erasure) -> list[Erased]:
    """Erase up to `BATCH` documents, within a transaction."""
    kept = msgspec.json.encode(erasure.except_tenants).decode()
    found = connection.execute(
        _FIND, (erasure.client, erasure.tenant, erasure.before_us, kept, BATCH)
    ).fetchall()
    connection.executemany(_ERASE, [(seq,) for seq, _, _ in found])
    if erasure.client is None:
        connection.execute(_WINDOWS, (erasure.tenant, erasure.before_us, kept))
    return [
        Erased(origin, tuple(position for _, _, position in rows))
        for origin, rows in groupby(found, key=lambda row: row[1])
    ]


def erasure_row(erased: Erased, reason: Reason) -> Row:
    """Return the record of an erasure; it does not say whose content it was."""
    now = datetime.now(UTC)
    spans = [f"{first}-{last}" for first, last in _spans(erased.positions)]
    text = f"{erased.origin} {' '.join(spans)} {now.isoformat()}"
    identity = ID_PREFIX + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    count = len(erased.positions)
    document = {
        "@timestamp": iso(now),
        "data_stream": {
            "dataset": ecs.AUDIT_DATASET,
            "namespace": ecs.NAMESPACE,
            "type": "logs",
        },
        "ecs": {"version": ecs.ECS_VERSION},
        "event": {
            "action": "erasure",
            "category": ["database"],
            "dataset": ecs.AUDIT_DATASET,
            "id": identity,
            "kind": "event",
            "module": ecs.MODULE,
            "outcome": "success",
            "reason": reason,
            "type": ["deletion"],
        },
        "message": f"the content of {count} records was erased ({reason})",
        "tags": ["erasure"],
        "vedette": {"erasure": {"count": count, "log": erased.origin, "spans": spans}},
    }
    body = msgspec.json.encode(document, order="sorted")
    return Row(identity, time.time_ns() // 1000, "event", None, None, None, None, body)


def recorded(connection: sqlite3.Connection) -> dict[str, set[int]]:
    """Return the places of each log whose erasure was recorded."""
    places: dict[str, set[int]] = {}
    for (body,) in connection.execute(_RECORDS):
        try:
            record = msgspec.json.decode(body, type=_Record).vedette.erasure
        except msgspec.DecodeError:
            continue  # not a record of ours: what it hides stays unexplained
        places.setdefault(record.log, set()).update(_positions(record.spans))
    return places


class _Spans(msgspec.Struct):
    log: str
    spans: list[str]


class _Own(msgspec.Struct):
    erasure: _Spans


class _Record(msgspec.Struct):
    vedette: _Own


def _spans(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Join neighbouring positions.

    Examples
    --------
    >>> _spans([1, 2, 3, 7])
    [(1, 3), (7, 7)]
    """
    spans: list[tuple[int, int]] = []
    for position in positions:
        if spans and spans[-1][1] == position - 1:
            spans[-1] = (spans[-1][0], position)
        else:
            spans.append((position, position))
    return spans


def _positions(spans: Iterable[str]) -> Iterable[int]:
    for span in spans:
        first, dash, last = span.partition("-")
        if dash and first.isdigit() and last.isdigit() and int(last) - int(first) < BATCH:
            yield from range(int(first), int(last) + 1)
