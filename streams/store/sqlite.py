"""The writer of the audit database: one thread owns one connection and commits in groups.

A document is durable when the future of its submission resolves: WAL with synchronous FULL
syncs at every commit. A document whose id is already there is left alone, so replays of the
audit topic insert nothing. What piles up while one commit syncs goes into the next one: under
load commits grow by themselves, at rest a document does not wait.

The same transaction appends the document to the log of its source (`streams.store.logs`), so
that chain, tree and documents cannot disagree.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import structlog

from config.errors import Fatal, Transient, VedetteError
from streams.store.erasure import Erasure, erase_some, erasure_row
from streams.store.logs import LOCAL, Logs, SegmentRules, latest_closings
from streams.store.schema import APPLICATION_ID, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streams.ledger.log import Closing
    from streams.store.row import Row, Source

log = structlog.get_logger(__name__)

PAGE_SIZE_BYTES = 8192
CHECKPOINT_PAGES = 4000
BUSY_TIMEOUT_MS = 5000
QUEUE_SUBMISSIONS = 256
RETRY_AFTER_S = 1.0

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}


class _Submission(NamedTuple):
    source: Source
    rows: Sequence[Row]
    result: Future[int]


class _Erasing(NamedTuple):
    erasure: Erasure
    result: Future[int]


class AuditWriter:
    """Inserts documents durably; at most one writer of a file exists on a machine.

    Parameters
    ----------
    path
        The database file; its directory is created.
    batch_documents
        Upper bound of documents in one transaction.
    logs
        Chains the documents and closes segments.
    on_closed
        Called in the writer's thread with segments that were closed and are durable.
    """

    def __init__(
        self,
        path: Path,
        *,
        batch_documents: int = 2000,
        logs: Logs | None = None,
        on_closed: Callable[[list[Closing]], object] = lambda _: None,
    ) -> None:
        self._path = path
        self._batch_documents = batch_documents
        self._logs = logs or Logs("vedette", None, SegmentRules())
        self._on_closed = on_closed
        self._queue: queue.Queue[_Submission | _Erasing | None] = queue.Queue(QUEUE_SUBMISSIONS)
        self._erasing: _Erasing | None = None
        self._thread: threading.Thread | None = None
        self._lock_file: int | None = None

    def open(self) -> None:
        """Take the lock, bring the schema up to date and start the thread.

        Raises
        ------
        Fatal
            If another process writes the file, or it is no audit database.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(self._path)
        opened: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="audit-writer", daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except VedetteError:
            self.close()
            raise

    def submit(self, rows: Sequence[Row], source: Source = LOCAL) -> Future[int]:
        """Queue rows of one source; the future gives the number of new ones once durable.

        Blocks while the queue is full. The future fails with `Transient` (nothing of the
        submission was stored, submit again) or `Fatal`.
        """
        if self._thread is None:
            raise Fatal("the audit writer is not open")
        result: Future[int] = Future()
        self._queue.put(_Submission(source, rows, result))
        return result

    def erase(self, erasure: Erasure) -> Future[int]:
        """Queue an erasure; the future gives the number of documents once they are gone.

        What was submitted before is stored before. Documents that come later stay.
        """
        if self._thread is None:
            raise Fatal("the audit writer is not open")
        result: Future[int] = Future()
        self._queue.put(_Erasing(erasure, result))
        return result

    def close(self) -> None:
        """Commit what was submitted, checkpoint, and give up the lock."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _run(self, opened: Future[int]) -> None:
        try:
            connection = _connect(self._path)
            self._logs.load(connection)
        except sqlite3.Error as error:
            opened.set_exception(explain(error))
            self._refuse_until_closed()
            return
        except Fatal as error:
            opened.set_exception(error)
            self._refuse_until_closed()
            return
        with contextlib.closing(connection):
            self._on_closed(latest_closings(connection))
            opened.set_result(0)
            while (group := self._next_group()) is not None:
                if group:
                    self._commit(connection, group)
                if self._erasing is not None:
                    self._erase(connection, self._erasing)
                    self._erasing = None
                self._close_segments(connection)
            self._logs.make_due()
            self._close_segments(connection)

    def _refuse_until_closed(self) -> None:
        while submission := self._queue.get():
            submission.result.set_exception(Fatal("the audit writer could not open its file"))

    def _next_group(self) -> list[_Submission] | None:
        """Wait for a submission, then take what else is there, up to the batch size.

        The group is empty when a segment has to be closed first, None at the end.
        """
        try:
            first = self._queue.get(timeout=self._logs.seconds_until_due())
        except queue.Empty:
            return []
        if first is None:
            return None
        if isinstance(first, _Erasing):
            self._erasing = first
            return []
        group, documents = [first], len(first.rows)
        while documents < self._batch_documents:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            if isinstance(following, _Erasing):
                self._erasing = following
                break
            group.append(following)
            documents += len(following.rows)
        return group

    def _commit(self, connection: sqlite3.Connection, group: list[_Submission]) -> None:
        """Store a group in one transaction and tell every submitter."""
        # A submitter that gave up is left out; from here on it cannot.
        group = [item for item in group if item.result.set_running_or_notify_cancel()]
        try:
            try:
                inserted, closings = self._transaction(connection, group, replayed=False)
            except sqlite3.IntegrityError:
                # Replays are rare: cheaper to meet one than to look up every id.
                _roll_back(connection)
                inserted, closings = self._transaction(connection, group, replayed=True)
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            _roll_back(connection)
            failure = explain(error) if isinstance(error, sqlite3.Error) else _unstorable(error)
            for item in group:
                item.result.set_exception(failure)
            return
        self._logs.committed()
        for item, count in zip(group, inserted, strict=True):
            item.result.set_result(count)
        if closings:
            self._on_closed(closings)

    def _transaction(
        self, connection: sqlite3.Connection, group: list[_Submission], *, replayed: bool
    ) -> tuple[list[int], list[Closing]]:
        """Insert a group and commit it; return how many rows of each were new."""
        logs = self._logs
        connection.execute("BEGIN IMMEDIATE")
        logs.begin()
        inserted = [
            logs.insert(connection, item.source, item.rows, replayed=replayed) for item in group
        ]
        closings = logs.save(connection)
        connection.execute("COMMIT")
        return inserted, closings

    def _erase(self, connection: sqlite3.Connection, item: _Erasing) -> None:
        """Erase in batches, each with its record in the same transaction."""
        if not item.result.set_running_or_notify_cancel():
            return
        total = 0
        try:
            while count := self._erase_batch(connection, item.erasure):
                total += count
            # What was overwritten still lies in the write-ahead log.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            _roll_back(connection)
            item.result.set_exception(explain(error))
            return
        item.result.set_result(total)

    def _erase_batch(self, connection: sqlite3.Connection, erasure: Erasure) -> int:
        connection.execute("BEGIN IMMEDIATE")
        self._logs.begin()
        erased = erase_some(connection, erasure)
        self._logs.insert(connection, LOCAL, [erasure_row(item, erasure.reason) for item in erased])
        closings = self._logs.save(connection)
        connection.execute("COMMIT")
        self._logs.committed()
        if closings:
            self._on_closed(closings)
        return sum(len(item.positions) for item in erased)

    def _close_segments(self, connection: sqlite3.Connection) -> None:
        """Close the segments whose time has come; what fails is tried again after the next."""
        if self._logs.seconds_until_due() != 0.0:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._logs.begin()
            closings = self._logs.close_due(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            self._postpone(error)
            return
        self._logs.committed()
        self._on_closed(closings)

    def _postpone(self, error: sqlite3.Error) -> None:
        log.error("no checkpoint could be stored", error=str(explain(error)))
        self._logs.postpone()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _unstorable(error: Exception) -> Fatal:
    return Fatal(f"a document does not fit the audit database ({type(error).__name__})")


def explain(error: sqlite3.Error) -> Transient | Fatal:
    """Sort an SQLite error into what passes by itself and what does not."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Transient(
            "the disk of the audit database is full; free space, nothing is lost meanwhile",
            retry_after_s=RETRY_AFTER_S,
        )
    if code in _PASSING:
        return Transient(
            f"the audit database cannot be written now ({name}); look at its disk, its mount "
            "and other programs that have it open",
            retry_after_s=RETRY_AFTER_S,
        )
    return Fatal(f"the audit database failed ({name}); check it with `PRAGMA integrity_check`")


def _lock(path: Path) -> int:
    """Hold the lock file: two writing connections can corrupt a WAL before SQLite 3.51.3."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Fatal(
            f"another process writes {path}; run one index role a database, or set "
            "VEDETTE_AUDIT_DB to another file"
        ) from None
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        if new:
            path.chmod(0o600)
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        migrate(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        connection.close()
        raise
    return connection
