"""Reads the audit database: read-only connections, parameters only, never built SQL text."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.errors import VedetteError
from streams.store.schema import APPLICATION_ID, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_LIMIT = 100_000
BUSY_TIMEOUT_S = 5.0
_FETCH_ROWS = 1000

Kind = Literal["event", "alert", "dlq"]
_COLUMNS = "seq, event_id, ts, kind, client, model, rule_id, tenant, body"


class AuditUnavailable(VedetteError):
    """The audit database cannot be read; the text says what to do."""


class Document(NamedTuple):
    """A stored document; ``ts`` in microseconds, ``body`` is ECS JSON."""

    seq: int
    event_id: str
    ts: int
    kind: str
    client: str | None
    model: str | None
    rule_id: str | None
    tenant: str | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which documents; what is None does not restrict. Times in microseconds, end excluded.

    ``ids`` are those of the documents, as a JSON array.
    """

    client: str | None = None
    model: str | None = None
    tenant: str | None = None
    kind: Kind | None = None
    rule: str | None = None
    text: str | None = None
    ids: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    limit: int = 100


#: An erased document has no body; windows always have one.
_NOT_ERASED = "length(body) > 0"
#: Conditions by field of `Query`; their texts are constants, their values bound.
_CONDITIONS = {
    "client": "client = ?",
    "model": "model = ?",
    "tenant": "tenant = ?",
    "kind": "kind = ?",
    "rule": "rule_id = ?",
    # instr takes what is looked for literally.
    "text": (
        "CASE WHEN length(body) THEN instr(lower(json_extract(CAST(body AS TEXT), "
        "'$.message')), lower(?)) ELSE 0 END"
    ),
    "ids": "event_id IN (SELECT value FROM json_each(?))",
    "since_us": "ts >= ?",
    "until_us": "ts < ?",
}


#: Those that the table of windows has columns for.
_WINDOW_CONDITIONS = ("model", "tenant", "since_us", "until_us")


class Statistics(NamedTuple):
    """What the database holds."""

    documents: int
    by_kind: dict[str, int]
    by_model: dict[str, int]
    by_rule: dict[str, int]
    first_us: int | None
    last_us: int | None
    size_bytes: int
    schema_version: int
    sqlite_version: str


@contextlib.contextmanager
def open_reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for reading; a writer may be at work.

    Raises
    ------
    AuditUnavailable
        If there is no such database or it is not Vedette's.
    """
    if not path.is_file():
        raise AuditUnavailable(
            f"there is no audit database at {path}; run the index role, or set VEDETTE_AUDIT_DB"
        )
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
        ) as connection:
            _check(connection, path)
            yield connection
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise AuditUnavailable(f"the audit database at {path} cannot be read ({name})") from None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise AuditUnavailable(f"{path} is no audit database of Vedette")
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise AuditUnavailable(
            f"{path} has schema version {version}, this program reads up to {SCHEMA_VERSION}"
        )


def _pragma(connection: sqlite3.Connection, name: Literal["application_id", "user_version"]) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def search(connection: sqlite3.Connection, query: Query) -> list[Document]:
    """Return the newest documents that match, newest first."""
    where, values = _where(query)
    sql = f"SELECT {_COLUMNS} FROM documents {where} ORDER BY ts DESC, seq DESC LIMIT ?"  # noqa: S608 - constants
    found = connection.execute(sql, [*values, max(0, min(query.limit, MAX_LIMIT))])
    return [Document(*row) for row in found]


def stream(connection: sqlite3.Connection, query: Query) -> Iterator[Document]:
    """Yield all documents that match, oldest first, without holding them all."""
    where, values = _where(query)
    sql = f"SELECT {_COLUMNS} FROM documents {where} ORDER BY ts, seq"  # noqa: S608 - constants
    cursor = connection.execute(sql, values)
    while rows := cursor.fetchmany(_FETCH_ROWS):
        yield from map(Document._make, rows)


def windows(connection: sqlite3.Connection, query: Query) -> list[bytes]:
    """Return the documents of the newest windows of a model, tenant and time, newest first."""
    where, values = _where(query, _WINDOW_CONDITIONS)
    sql = f"SELECT body FROM windows {where} ORDER BY ts DESC, id LIMIT ?"  # noqa: S608 - constants
    found = connection.execute(sql, [*values, max(0, min(query.limit, MAX_LIMIT))])
    return [body for (body,) in found]


def _where(query: Query, names: Sequence[str] = tuple(_CONDITIONS)) -> tuple[str, list[object]]:
    values = {name: getattr(query, name) for name in names}
    used = [name for name, value in values.items() if value is not None]
    where = " AND ".join((_NOT_ERASED, *(_CONDITIONS[name] for name in used)))
    return f"WHERE {where}", [values[name] for name in used]


def get(connection: sqlite3.Connection, event_id: str) -> Document | None:
    """Return the document of an interaction or alert id."""
    sql = f"SELECT {_COLUMNS} FROM documents WHERE event_id = ?"  # noqa: S608 - constants
    row = connection.execute(sql, (event_id,)).fetchone()
    return None if row is None else Document(*row)


def statistics(connection: sqlite3.Connection) -> Statistics:
    """Count what the database holds."""
    first_us, last_us, documents = connection.execute(
        "SELECT min(ts), max(ts), count(*) FROM documents"
    ).fetchone()
    pages, page_size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    return Statistics(
        documents=documents,
        by_kind=_counts(connection, "SELECT kind, count(*) FROM documents GROUP BY 1"),
        by_model=_counts(
            connection,
            "SELECT coalesce(model, ''), count(*) FROM documents GROUP BY 1 ORDER BY 2 DESC "
            "LIMIT 20",
        ),
        by_rule=_counts(
            connection,
            "SELECT coalesce(rule_id, ''), count(*) FROM documents WHERE kind = 'alert' "
            "GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
        ),
        first_us=first_us,
        last_us=last_us,
        size_bytes=pages * page_size,
        schema_version=_pragma(connection, "user_version"),
        sqlite_version=sqlite3.sqlite_version,
    )


def _counts(connection: sqlite3.Connection, sql: str) -> dict[str, int]:
    rows: Sequence[tuple[str, int]] = connection.execute(sql).fetchall()
    return dict(rows)


class SqliteReader:
    """The embedded store as commands read it.

    Parameters
    ----------
    connection
        As `open_reader` gives it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def search(self, query: Query) -> list[Document]:
        """Return the newest documents that match, newest first."""
        return search(self._connection, query)

    def stream(self, query: Query) -> Iterator[Document]:
        """Yield all documents that match, oldest first."""
        return stream(self._connection, query)

    def get(self, event_id: str) -> Document | None:
        """Return the document of an interaction or alert id."""
        return get(self._connection, event_id)

    def windows(self, query: Query) -> list[bytes]:
        """Return the documents of the newest windows, newest first."""
        return windows(self._connection, query)
