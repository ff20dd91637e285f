"""The logs of an audit database: what is inserted is chained in the same transaction.

Everything here runs in the thread of the writer. A transaction works on copies; the logs in
memory move on only when it has been committed, so the two never disagree.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from streams.ledger.log import Closing, Log, LogState, Segment, first_of_tiles, new_origin
from streams.ledger.merkle import HASH_BYTES, leaf_hash
from streams.ledger.tiles import cut_tiles
from streams.respond.times import iso
from streams.store.ecs import NAMESPACE
from streams.store.row import STORED_FIELDS
from streams.store.window_document import window_row
from streams.store.windows import DEFAULT_RULES, Windows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from streams.ledger.note import NoteSigner
    from streams.store.row import Row, Source
    from streams.store.windows import Closed, WindowRules

_INSERT = (
    "INSERT INTO documents (event_id, ts, kind, client, model, rule_id, tenant, body, "
    "log, position, leaf, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_KNOWN = "SELECT event_id FROM documents WHERE event_id IN (SELECT value FROM json_each(?))"
_LOAD = "SELECT id, topic, partition, origin, size, chain, stack, closed, blocks, windows FROM logs"
_BEGIN = (
    "INSERT INTO logs (topic, partition, origin, size, chain, stack, closed, blocks) "
    "VALUES (?, ?, ?, 0, ?, x'', 0, x'') RETURNING id"
)
_SAVE = (
    "UPDATE logs SET size = ?, chain = ?, stack = ?, closed = ?, blocks = ?, windows = ? "
    "WHERE id = ?"
)
_WINDOW = "INSERT INTO windows (id, ts, model, tenant, body) VALUES (?, ?, ?, ?, ?)"
_LATEST = (
    "SELECT logs.id, segments.body, max(segments.size) FROM segments JOIN logs USING (origin) "
    "GROUP BY origin"
)
_LEAVES = (
    "SELECT leaf FROM documents WHERE log = ? AND position >= ? AND position < ? ORDER BY position"
)
_CLOSE = "INSERT INTO segments (origin, size, body) VALUES (?, ?, ?)"
_UNCHAINED = "SELECT seq, body FROM documents WHERE log IS NULL AND seq > ? ORDER BY seq LIMIT 5000"
_CHAIN = "UPDATE documents SET log = ?, position = ?, leaf = ?, link = ? WHERE seq = ?"

#: How long a checkpoint waits that could not be stored.
RETRY_AFTER_S = 5.0

#: Where documents go that came from no topic, and those of a file older than its logs.
LOCAL: Source = ("local", 0)


class SegmentRules(NamedTuple):
    """When a segment is closed: so many records, or so many seconds after its first one."""

    records: int = 10_000
    seconds: float = 60.0


class _Open(NamedTuple):
    id: int
    log: Log
    since_s: float | None
    windows: Windows
    #: The windows as they were committed last.
    saved: bytes = b""


class Logs:
    """The logs of one database.

    Parameters
    ----------
    name
        First part of the origins of new logs.
    signer
        Signs checkpoints; None: none are made.
    rules
        When they are made.
    windows
        How long the windows are that interactions and alerts are counted in.
    namespace
        Part of the windows' documents.
    """

    def __init__(
        self,
        name: str,
        signer: NoteSigner | None,
        rules: SegmentRules,
        *,
        windows: WindowRules = DEFAULT_RULES,
        namespace: str = NAMESPACE,
    ) -> None:
        self._name = name
        self._signer = signer
        self._rules = rules
        self._window_rules = windows
        self._namespace = namespace
        self._logs: dict[Source, _Open] = {}
        self._changed: dict[Source, _Open] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the logs of the file, and chain documents that are older than logs."""
        for row in connection.execute(_LOAD):
            key, topic, partition, origin, size, chain, stack, closed, blocks, saved = row
            state = LogState(origin, size, chain, _cut(stack), closed, _cut(blocks))
            since_s = time.monotonic() if size > closed else None
            windows = Windows(origin, self._window_rules, saved)
            log = Log(state, _leaves(connection, key, first_of_tiles(closed), size))
            self._logs[topic, partition] = _Open(key, log, since_s, windows, saved)
        self._adopt(connection)

    def begin(self) -> None:
        """Start a transaction; the windows forget what one that failed has counted."""
        for source in self._changed.keys() & self._logs.keys():
            held = self._logs[source]
            windows = Windows(held.log.origin, self._window_rules, held.saved)
            self._logs[source] = held._replace(windows=windows)
        self._changed = {}

    def insert(
        self,
        connection: sqlite3.Connection,
        source: Source,
        rows: Sequence[Row],
        *,
        replayed: bool = False,
    ) -> int:
        """Insert and chain rows; return how many.

        Parameters
        ----------
        replayed
            Look up first which ones are there already, and leave those out.

        Raises
        ------
        sqlite3.IntegrityError
            If one is there already: then the transaction has to be rolled back.
        """
        if replayed:
            rows = _fresh(connection, rows)
        if not rows:
            return 0
        held = self._changing(connection, source)
        first = held.log.size
        connection.executemany(_INSERT, _placed(held, rows))
        self._write_windows(connection, held.windows.add(rows, first))
        since_s = time.monotonic() if held.since_s is None else held.since_s
        self._changed[source] = held._replace(since_s=since_s)
        return len(rows)

    def save(self, connection: sqlite3.Connection) -> list[Closing]:
        """Write what changed, closing the segments that are full; return those."""
        closed = []
        for source, held in self._changed.items():
            if held.log.open_records >= self._rules.records:
                closed += self._close(connection, source, held)
        for source, held in self._changed.items():
            state, windows = held.log.state, held.windows.save()
            stack, blocks = b"".join(state.stack), b"".join(state.blocks)
            connection.execute(
                _SAVE, (state.size, state.chain, stack, state.closed, blocks, windows, held.id)
            )
            self._changed[source] = held._replace(saved=windows)
        return closed

    def committed(self) -> None:
        """Keep what the transaction did."""
        self._logs.update(self._changed)
        self._changed = {}

    def close_due(self, connection: sqlite3.Connection) -> list[Closing]:
        """Close the segments and windows whose time has come, within a transaction."""
        closed = []
        for source, held in self._logs.items():
            if held.windows.seconds_until_due() == 0.0:
                self._changed[source] = held
                self._write_windows(connection, held.windows.flush())
        for source, held in self._logs.items():
            if held.since_s is not None and self._due_s(held) <= time.monotonic():
                changed = self._changed[source] = held._replace(log=held.log.copy())
                closed += self._close(connection, source, changed)
        return closed + self.save(connection)

    def seconds_until_due(self) -> float | None:
        """Return how long no segment or window has to be closed, None if there are none."""
        now_s, logs = time.monotonic(), self._logs.values()
        due = [held.windows.seconds_until_due() for held in logs]
        if self._signer is not None:
            due += [self._due_s(held) - now_s for held in logs if held.since_s is not None]
        known = [seconds for seconds in due if seconds is not None]
        return max(0.0, min(known)) if known else None

    def postpone(self) -> None:
        """Try the segments and windows that are due again after a while."""
        self.begin()
        later_s = time.monotonic() - self._rules.seconds + RETRY_AFTER_S
        for source, held in self._logs.items():
            if held.since_s is not None and self._due_s(held) <= time.monotonic():
                self._logs[source] = held._replace(since_s=later_s)

    def make_due(self) -> None:
        """Let every open segment be closed at once."""
        self._rules = self._rules._replace(seconds=0.0)

    def _write_windows(self, connection: sqlite3.Connection, closed: Sequence[Closed]) -> None:
        connection.executemany(_WINDOW, [window_row(item, self._namespace) for item in closed])

    def _due_s(self, held: _Open) -> float:
        return (held.since_s or 0.0) + self._rules.seconds

    def _close(self, connection: sqlite3.Connection, source: Source, held: _Open) -> list[Closing]:
        if self._signer is None:
            return []
        tiles = held.log.tiles(held.log.size)
        segment = held.log.close_segment(self._signer, iso(datetime.now(UTC)))
        connection.execute(_CLOSE, (segment.origin, segment.size, msgspec.json.encode(segment)))
        self._changed[source] = held._replace(since_s=None)
        return [Closing(segment, tiles)]

    def _changing(self, connection: sqlite3.Connection, source: Source) -> _Open:
        """Return the copy of a log that this transaction works on."""
        held = self._changed.get(source)
        if held is not None:
            return held
        known = self._logs.get(source)
        if known is None:
            log = Log.begin(new_origin(self._name, *source))
            values = (*source, log.origin, log.chain)
            key = connection.execute(_BEGIN, values).fetchone()[0]
            return _Open(key, log, None, Windows(log.origin, self._window_rules))
        return known._replace(log=known.log.copy())

    def _adopt(self, connection: sqlite3.Connection) -> None:
        last = 0
        while rows := connection.execute(_UNCHAINED, (last,)).fetchall():
            self.begin()
            connection.execute("BEGIN IMMEDIATE")
            held = self._changing(connection, LOCAL)
            first, leaves = held.log.size, [leaf_hash(body) for _, body in rows]
            links = held.log.append(leaves)
            connection.executemany(
                _CHAIN,
                [
                    (held.id, first + number, leaf, link, seq)
                    for number, ((seq, _), leaf, link) in enumerate(
                        zip(rows, leaves, links, strict=True)
                    )
                ],
            )
            self._changed[LOCAL] = held._replace(since_s=time.monotonic())
            self.save(connection)
            connection.execute("COMMIT")
            self.committed()
            last = rows[-1][0]


def latest_closings(connection: sqlite3.Connection) -> list[Closing]:
    """Return the newest segment of every log, with its tiles."""
    found = []
    for key, body, _ in connection.execute(_LATEST).fetchall():
        segment = msgspec.json.decode(body, type=Segment)
        first = first_of_tiles(segment.first)
        leaves = _leaves(connection, key, first, segment.size)
        # One that somebody took away makes no tile: the rest would stand at wrong places.
        whole = len(leaves) == segment.size - first
        found.append(Closing(segment, cut_tiles(segment.origin, first, leaves) if whole else ()))
    return found


def _leaves(connection: sqlite3.Connection, key: int, first: int, end: int) -> list[bytes]:
    """Return the hashes of the records ``[first, end)`` of a log."""
    return [leaf for (leaf,) in connection.execute(_LEAVES, (key, first, end))]


def _placed(held: _Open, rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Append rows to the log and return them with their places."""
    first, key = held.log.size, held.id
    leaves = [leaf_hash(row.body) for row in rows]
    links = held.log.append(leaves)
    return [
        row[:STORED_FIELDS] + (key, position, leaf, link)  # noqa: RUF005 - unpacking costs more
        for position, row, leaf, link in zip(count(first), rows, leaves, links, strict=False)
    ]


def _fresh(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are not stored yet, each id once."""
    ids = msgspec.json.encode([row.event_id for row in rows]).decode()
    known = {row[0] for row in connection.execute(_KNOWN, (ids,))}
    fresh: dict[str, Row] = {}
    for row in rows:
        if row.event_id not in known:
            fresh.setdefault(row.event_id, row)
    return list(fresh.values())


def _cut(hashes: bytes) -> tuple[bytes, ...]:
    return tuple(hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES))
