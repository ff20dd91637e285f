"""Shared by the commands that read the audit database: times, tables, single documents."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec

from config.errors import ConfigError
from streams.respond.text import shown
from streams.respond.times import microseconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from streams.ledger.trail import ProvenTrail
    from streams.store.search import Document, Query

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str | None, now: datetime) -> int | None:
    """Turn ``2026-11-22``, ``2026-11-22T10:00:00Z``, ``15m``, ``2h`` or ``7d`` into microseconds.

    A length of time counts back from ``now``; a time without a zone is UTC.

    Raises
    ------
    ConfigError
        If the text is neither.
    """
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and number.isascii() and number.isdigit():
            return microseconds(now - timedelta(**{_UNITS[unit]: int(number)}))
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(
            "a time is ISO 8601, such as 2026-11-22T10:00:00Z, or a length, such as 15m, 2h or 7d"
        ) from None
    return microseconds(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def show_time(ts_us: int | None) -> str:
    """Write microseconds since the epoch for people."""
    if ts_us is None:
        return "-"
    return (_EPOCH + timedelta(microseconds=ts_us)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


@contextlib.contextmanager
def audit_database() -> Iterator[sqlite3.Connection]:
    """Open the audit database that the settings name."""
    from config.settings import load_settings
    from streams.store.search import open_reader

    with open_reader(load_settings().audit_database) as connection:
        yield connection


class Reader(Protocol):
    """A store of documents, for commands."""

    def search(self, query: Query) -> list[Document]:
        """Return the newest documents that match, newest first."""

    def stream(self, query: Query) -> Iterator[Document]:
        """Yield all documents that match, oldest first."""

    def get(self, event_id: str) -> Document | None:
        """Return the document of an interaction or alert id."""

    def windows(self, query: Query) -> list[bytes]:
        """Return the documents of the newest windows, newest first."""


@contextlib.contextmanager
def audit_reader() -> Iterator[Reader]:
    """Open the store that the settings name."""
    from config.settings import load_settings
    from streams.store.search import SqliteReader, open_reader

    settings = load_settings()
    if settings.index.store == "elasticsearch":
        from streams.elastic.client import open_client
        from streams.elastic.search import ElasticReader

        with open_client(settings.elastic) as client:
            yield ElasticReader(client, settings.elastic.namespace)
        return
    with open_reader(settings.audit_database) as connection:
        yield SqliteReader(connection)


class _Named(msgspec.Struct):
    interactions: list[str]


class _Alert(msgspec.Struct):
    vedette: _Named


def interactions_of(alert: str) -> str:
    """Return the ids of the interactions that an alert names, as a JSON array.

    Raises
    ------
    ConfigError
        If there is no such alert.
    """
    with audit_reader() as reader:
        document = reader.get(alert)
    if document is None or document.kind != "alert":
        raise ConfigError(f"no alert has the id {shown(alert, 128)}")
    try:
        named = msgspec.json.decode(document.body, type=_Alert).vedette.interactions
    except msgspec.DecodeError:
        raise ConfigError(f"the content of {shown(alert, 128)} was erased") from None
    return msgspec.json.encode(named).decode()


@contextlib.contextmanager
def audit_trail() -> Iterator[ProvenTrail]:
    """Open the logs of the store that the settings name."""
    from config.settings import load_settings
    from streams.store.search import open_reader
    from streams.store.trail import SqliteTrail

    settings = load_settings()
    if settings.index.store == "elasticsearch":
        from streams.elastic.client import open_client
        from streams.elastic.trail import ElasticTrail

        with open_client(settings.elastic) as client:
            yield ElasticTrail(client, settings.elastic.namespace)
        return
    with open_reader(settings.audit_database) as connection:
        yield SqliteTrail(connection)


def names_of(kind: str, name: str | None) -> tuple[str | None, ...]:
    """Return what records may call somebody, the usual first; (None,) if nobody is meant."""
    from config.settings import load_settings
    from streams.identity import known_as

    return (None,) if name is None else known_as(load_settings(), kind, name)


def print_lines(documents: Sequence[Document]) -> None:
    """Print the documents as they are stored, one a line."""
    for document in documents:
        sys.stdout.write(document.body.decode() + "\n")


def print_document(document: Document | None, identity: str) -> None:
    """Print one document, indented.

    Raises
    ------
    ConfigError
        If there is none, or its content was erased.
    """
    if document is None:
        raise ConfigError(f"no document has the id {shown(identity, 128)}")
    if not document.body:
        raise ConfigError(f"the content of {shown(identity, 128)} was erased")
    sys.stdout.write(msgspec.json.format(document.body, indent=2).decode() + "\n")


def table(title: str, *columns: str) -> Table:
    """Return an empty table."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def add_row(target: Table, *cells: object) -> None:
    """Add a row; whatever came with traffic is shown as plain text, never as markup."""
    from rich.text import Text

    target.add_row(*(Text("-" if cell is None else shown(str(cell), 200)) for cell in cells))
