"""Real audit databases to tamper with."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams.ledger.note import NoteSigner, NoteVerifier
from streams.ledger.trail import verify_trail
from streams.store.logs import Logs, SegmentRules
from streams.store.search import open_reader
from streams.store.sqlite import AuditWriter
from streams.store.trail import SqliteTrail
from tests.unit.store.samples import row

SIGNER = NoteSigner("vedette", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
VERIFIER = NoteVerifier(SIGNER.verifier)


def event(number):
    return row(number).event_id


@contextmanager
def writing(path, *, records=50, signer=SIGNER, closed=None):
    """Give a writer that closes a segment after so many records."""
    found = [] if closed is None else closed
    logs = Logs("vedette", signer, SegmentRules(records, 3600.0))
    writer = AuditWriter(path, logs=logs, on_closed=found.extend)
    writer.open()
    try:
        yield writer
    finally:
        writer.close()


def write(path, first, end, *, source=("vedette.audit.v1", 0), records=50, step=10):
    """Write the rows ``[first, end)``; return the segments that were closed."""
    closed = []
    with writing(path, records=records, closed=closed) as writer:
        for start in range(first, end, step):
            rows = [row(number) for number in range(start, min(start + step, end))]
            writer.submit(rows, source).result(10)
    return [item.segment for item in closed]


def check(path, witnessed=(), *, may_expire=False):
    with open_reader(path) as reader:
        trail = SqliteTrail(reader)
        trail.may_expire = may_expire
        return verify_trail(trail, VERIFIER, witnessed=witnessed)


def found(path, witnessed=()):
    """Return what is wrong: kind, first and end position."""
    return [(item.kind, item.first, item.end) for item in check(path, witnessed).faults]


@contextmanager
def tampering(path):
    """Give the database to somebody who may write to it."""
    with closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()


def checkpoints(path):
    """Return every checkpoint of the database, opened."""
    with open_reader(path) as reader:
        trail = SqliteTrail(reader)
        return [
            VERIFIER.open(segment.note)
            for origin in trail.origins()
            for segment in trail.segments(origin)
        ]
