"""The writer stores each document once, durably, and says what is wrong with its disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from config.errors import Fatal, Transient
from streams.store import schema
from streams.store.sqlite import AuditWriter, explain
from tests.unit.store.samples import row

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "audit.sqlite"


@pytest.fixture
def writer(path):
    opened = AuditWriter(path)
    opened.open()
    yield opened
    opened.close()


def stored(path):
    connection = sqlite3.connect(path)
    try:
        return [item[0] for item in connection.execute("SELECT event_id FROM documents")]
    finally:
        connection.close()


def pragma(path, name):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def test_a_replay_inserts_nothing_new(writer, path):
    rows = [row(number) for number in range(100)]
    assert writer.submit(rows).result(10) == 100
    assert writer.submit(rows).result(10) == 0
    assert writer.submit([*rows, row(100), row(100)]).result(10) == 1
    assert len(stored(path)) == 101


def test_the_first_version_of_a_document_stays(writer, path):
    writer.submit([row(1, body=b"first")]).result(10)
    writer.submit([row(1, body=b"second")]).result(10)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT body FROM documents").fetchall() == [(b"first",)]
    connection.close()


def test_the_file_is_set_up_for_durability(writer, path):
    writer.submit([row(1)]).result(10)
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "page_size") == 8192
    assert pragma(path, "user_version") == schema.SCHEMA_VERSION
    assert path.stat().st_mode & 0o077 == 0


def test_many_submissions_share_commits(path):
    writer = AuditWriter(path, batch_documents=50)
    writer.open()
    results = [writer.submit([row(number)]) for number in range(200)]
    writer.close()
    assert sum(item.result(0) for item in results) == 200
    assert len(stored(path)) == 200


def test_closing_commits_what_was_submitted(path):
    writer = AuditWriter(path)
    writer.open()
    result = writer.submit([row(1)])
    writer.close()
    assert result.result(0) == 1
    with pytest.raises(Fatal, match="not open"):
        writer.submit([row(2)])


def test_a_second_writer_is_refused_until_the_first_is_gone(path, writer):
    with pytest.raises(Fatal, match="another process writes"):
        AuditWriter(path).open()
    writer.close()
    second = AuditWriter(path)
    second.open()
    second.close()


def test_a_locked_database_is_transient_and_nothing_is_half_stored(writer, path, monkeypatch):
    writer.submit([row(0)]).result(10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.close()
    monkeypatch.setattr("streams.store.sqlite.BUSY_TIMEOUT_MS", 50)
    impatient = AuditWriter(path)
    with pytest.raises(Transient, match="cannot be written now"):
        impatient.open()
    other.execute("ROLLBACK")
    other.close()
    assert stored(path) == [row(0).event_id]


def test_a_full_disk_is_transient_and_passes(path):
    writer = AuditWriter(path)
    writer.open()
    writer.submit([row(0)]).result(10)
    # The writer's own connection is the only one that a page limit would bind.
    limit_pages(writer, 40)
    with pytest.raises(Transient, match="full"):
        writer.submit([row(n, body=b"x" * 9000) for n in range(1, 200)]).result(10)
    assert len(stored(path)) == 1
    limit_pages(writer, 1 << 30)
    assert writer.submit([row(n, body=b"x" * 9000) for n in range(1, 200)]).result(10) == 199
    writer.close()


def limit_pages(writer, pages):
    """Bind the writer's connection from its own thread, the only one that may use it."""
    original = writer._commit

    def once(connection, group):
        connection.execute(f"PRAGMA max_page_count = {pages}")
        writer._commit = original
        original(connection, group)

    writer._commit = once
    writer.submit([]).result(10)


def test_a_row_that_breaks_the_schema_is_fatal_not_swallowed(writer):
    with pytest.raises(Fatal, match="CONSTRAINT"):
        writer.submit([row(1, kind="nonsense")]).result(10)
    assert writer.submit([row(1)]).result(10) == 1


def test_a_file_of_something_else_is_fatal(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database, but long enough to look at" * 40)
    with pytest.raises(Fatal, match="NOTADB"):
        AuditWriter(path).open()


def test_a_newer_schema_is_fatal(path, writer):
    writer.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(Fatal, match="schema version 99"):
        AuditWriter(path).open()


def test_migrations_run_once_and_in_order():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    scripts = ("CREATE TABLE a (x);", "ALTER TABLE a ADD COLUMN y;")
    assert schema.migrate(connection, scripts[:1]) == 0
    assert schema.migrate(connection, scripts) == 1
    assert schema.migrate(connection, scripts) == 2
    assert [item[1] for item in connection.execute("PRAGMA table_info(a)")] == ["x", "y"]
    connection.close()


def test_a_failed_migration_leaves_the_old_version():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.Error):
        schema.migrate(connection, ("CREATE TABLE a (x); CREATE TABLE a (x);",))
    connection.rollback()
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_errors_are_sorted():
    assert isinstance(explain(sqlite3.OperationalError("unknown")), Fatal)


WRITE_AND_REPORT = """
    import sys
    from pathlib import Path
    from streams.store.sqlite import AuditWriter
    from tests.unit.store.samples import row

    writer = AuditWriter(Path(sys.argv[1]), batch_documents=64)
    writer.open()
    for start in range(0, 10**9, 16):
        writer.submit([row(n, body=b"x" * 900) for n in range(start, start + 16)]).result()
        sys.stdout.write(f"{start + 16}\\n")
        sys.stdout.flush()
"""


@pytest.mark.parametrize("documents", [16, 400, 2000])
def test_kill_9_loses_no_acknowledged_document(path, documents):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITE_AND_REPORT), str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged = 0
    while acknowledged < documents:
        acknowledged = int(process.stdout.readline())
    time.sleep(0.003)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    process.wait(10)
    process.stdout.close()

    survivor = AuditWriter(path)
    survivor.open()
    replayed = survivor.submit([row(n) for n in range(acknowledged)]).result(10)
    survivor.close()
    assert replayed == 0
    assert len(stored(path)) == len(set(stored(path))) >= acknowledged
    assert pragma(path, "integrity_check") == "ok"
