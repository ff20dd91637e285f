"""The audit database's tables and how older files are brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.errors import Fatal

if TYPE_CHECKING:
    import sqlite3

#: "vdte" in the file's header: `file audit.sqlite` and `open_reader` know whose file it is.
APPLICATION_ID = 0x76647465

_VERSION_1 = """
CREATE TABLE documents (
    seq      INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    ts       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('event', 'alert')),
    client   TEXT,
    model    TEXT,
    rule_id  TEXT,
    tenant   TEXT,
    body     BLOB NOT NULL
) STRICT;
CREATE INDEX documents_client_ts ON documents (client, ts);
CREATE INDEX documents_ts ON documents (ts);
CREATE INDEX alerts_rule_ts ON documents (rule_id, ts) WHERE kind = 'alert';
"""

#: Script ``i`` brings a file from schema version ``i`` to ``i + 1``; append, never edit.
MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, scripts: tuple[str, ...] = MIGRATIONS) -> int:
    """Run the scripts that the file has not seen yet, each in one transaction.

    Returns
    -------
    int
        The version found before.

    Raises
    ------
    Fatal
        If a newer Vedette wrote the file.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(scripts):
        raise Fatal(
            f"the audit database has schema version {found}, this program knows {len(scripts)}; "
            "run the newer version or use another file"
        )
    for version in range(found, len(scripts)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {scripts[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )
    return found
