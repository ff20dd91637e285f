"""Reads the logs of an audit database for those who check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streams.ledger.log import Segment
from streams.store.erasure import recorded

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterator, Mapping, Sequence

    from streams.ledger.verify import EntryTuple

_SEGMENTS = "SELECT body FROM segments WHERE origin = ? ORDER BY size"
_ENTRIES = (
    "SELECT position, event_id, leaf, link, nullif(body, x'') FROM documents INDEXED BY "
    "documents_place WHERE log = ? ORDER BY position"
)
_LEAVES = (
    "SELECT leaf FROM documents WHERE log = ? AND position >= ? AND position < ? ORDER BY position"
)
_FETCH_ROWS = 4096


class SqliteTrail:
    """The logs of one database.

    Parameters
    ----------
    connection
        As `streams.store.search.open_reader` gives it.
    """

    may_expire = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def origins(self) -> dict[str, int]:
        """Return the size of every log by its origin."""
        return dict(self._connection.execute("SELECT origin, size FROM logs ORDER BY id"))

    def segments(self, origin: str) -> list[Segment]:
        """Return the closed segments of a log by size."""
        rows = self._connection.execute(_SEGMENTS, (origin,))
        return [msgspec.json.decode(body, type=Segment) for (body,) in rows]

    def entries(self, origin: str) -> Iterator[EntryTuple]:
        """Yield the records of a log by position."""
        cursor = self._connection.execute(_ENTRIES, (self._log(origin),))
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield from rows

    def leaves(self, origin: str, first: int, end: int) -> Sequence[bytes]:
        """Return the hashes of the records ``[first, end)``."""
        rows = self._connection.execute(_LEAVES, (self._log(origin), first, end))
        return [leaf for (leaf,) in rows]

    def find(self, event_id: str) -> tuple[str, int, bytes] | None:
        """Return origin, position and record of a document."""
        row: tuple[str, int, bytes] | None = self._connection.execute(
            "SELECT origin, position, body FROM documents JOIN logs ON logs.id = documents.log "
            "WHERE event_id = ?",
            (event_id,),
        ).fetchone()
        return row

    def hashes(self, event_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the recorded hashes of the documents that are there."""
        rows = self._connection.execute(
            "SELECT event_id, leaf FROM documents WHERE event_id IN "
            "(SELECT value FROM json_each(?))",
            (msgspec.json.encode(event_ids).decode(),),
        )
        return dict(rows)

    def strays(self) -> list[str]:
        """Return ids of documents that belong to no log."""
        rows = self._connection.execute(
            "SELECT event_id FROM documents WHERE log IS NULL OR "
            "log NOT IN (SELECT id FROM logs) ORDER BY seq LIMIT 1000"
        )
        return [event_id for (event_id,) in rows]

    def erasures(self) -> Mapping[str, Container[int]]:
        """Return, by origin, the places whose erasure was recorded."""
        return recorded(self._connection)

    def _log(self, origin: str) -> int:
        row = self._connection.execute("SELECT id FROM logs WHERE origin = ?", (origin,)).fetchone()
        return -1 if row is None else int(row[0])
