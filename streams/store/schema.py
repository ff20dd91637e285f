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

# An empty body is an erased one: its hashes stay. documents_place is what a log is read by.
# The table is made anew because SQLite cannot change what its CHECK allows.
_VERSION_2 = """
CREATE TABLE logs (
    id        INTEGER PRIMARY KEY,
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    origin    TEXT NOT NULL UNIQUE,
    size      INTEGER NOT NULL,
    chain     BLOB NOT NULL,
    stack     BLOB NOT NULL,
    closed    INTEGER NOT NULL,
    blocks    BLOB NOT NULL,
    UNIQUE (topic, partition)
) STRICT;
CREATE TABLE segments (
    origin TEXT NOT NULL,
    size   INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (origin, size)
) STRICT, WITHOUT ROWID;
ALTER TABLE documents RENAME TO documents_1;
CREATE TABLE documents (
    seq      INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    ts       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('event', 'alert', 'dlq')),
    client   TEXT,
    model    TEXT,
    rule_id  TEXT,
    tenant   TEXT,
    body     BLOB NOT NULL,
    log      INTEGER,
    position INTEGER,
    leaf     BLOB,
    link     BLOB
) STRICT;
INSERT INTO documents (seq, event_id, ts, kind, client, model, rule_id, tenant, body)
    SELECT seq, event_id, ts, kind, client, model, rule_id, tenant, body FROM documents_1;
DROP TABLE documents_1;
CREATE INDEX documents_client_ts ON documents (client, ts);
CREATE INDEX documents_ts ON documents (ts);
CREATE INDEX alerts_rule_ts ON documents (rule_id, ts) WHERE kind = 'alert';
CREATE UNIQUE INDEX documents_place ON documents (log, position);
"""

# What is open of a log's windows lies with the log, so that both are committed together.
_VERSION_3 = """
ALTER TABLE logs ADD COLUMN windows BLOB NOT NULL DEFAULT x'';
CREATE TABLE windows (
    id     TEXT PRIMARY KEY,
    ts     INTEGER NOT NULL,
    model  TEXT,
    tenant TEXT,
    body   BLOB NOT NULL
) STRICT;
CREATE INDEX windows_ts ON windows (ts);
"""

# IN with three values builds a table of them for every row: a quarter of what an insert costs.
_VERSION_4 = """
ALTER TABLE documents RENAME TO documents_3;
CREATE TABLE documents (
    seq      INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    ts       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind = 'event' OR kind = 'alert' OR kind = 'dlq'),
    client   TEXT,
    model    TEXT,
    rule_id  TEXT,
    tenant   TEXT,
    body     BLOB NOT NULL,
    log      INTEGER,
    position INTEGER,
    leaf     BLOB,
    link     BLOB
) STRICT;
INSERT INTO documents SELECT * FROM documents_3;
DROP TABLE documents_3;
CREATE INDEX documents_client_ts ON documents (client, ts);
CREATE INDEX documents_ts ON documents (ts);
CREATE INDEX alerts_rule_ts ON documents (rule_id, ts) WHERE kind = 'alert';
CREATE UNIQUE INDEX documents_place ON documents (log, position);
"""

#: Script ``i`` brings a file from schema version ``i`` to ``i + 1``; append, never edit.
MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
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
