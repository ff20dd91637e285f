"""What the audit trail costs: chain and tree, verifying, and indexing against bare inserts.

``python -m benchmarks.audit [URL]``; with the URL of an Elasticsearch (without security, with
Vedette's templates) also the indexer against a bare ``async_streaming_bulk``. Every ratio is
taken of alternating runs, because other work on the machine disturbs both alike.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_streaming_bulk

from config.settings import ElasticSettings
from streams.elastic.bulk import BulkWriter, Item
from streams.elastic.client import make_client
from streams.elastic.document import Place, with_place
from streams.ledger.log import Log
from streams.ledger.merkle import leaf_hash
from streams.ledger.note import NoteSigner, NoteVerifier
from streams.ledger.trail import verify_trail
from streams.store.logs import Logs, SegmentRules
from streams.store.row import Row
from streams.store.schema import MIGRATIONS
from streams.store.search import open_reader
from streams.store.sqlite import AuditWriter
from streams.store.trail import SqliteTrail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCUMENTS = 100_000
BATCH = 2000
ROUNDS = 3
SIGNER = NoteSigner("vedette", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
_BARE_INSERT = (
    "INSERT INTO documents (event_id, ts, kind, client, model, rule_id, tenant, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Measured(msgspec.Struct, gc=False):
    """What windows add up, as audit frames bring it."""

    status: int | None
    latency_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    scanned: bool
    confidence: float | None


def rows(count: int) -> list[Row]:
    """Return rows whose bodies have about a thousand bytes, as real ones do."""
    filler = "x" * 700
    return [
        Row(
            f"vedette.events.v1-0-{number}-0",
            1_790_000_000_000_000 + number,
            "event",
            f"u1_{number % 1000}",
            "digits",
            None,
            "t1",
            (
                b'{"@timestamp":"2026-11-22T10:00:00.000000Z","event":{"id":"%d","kind":"event",'
                b'"module":"vedette"},"message":"%s","user":{"id":"u1_%d"},"vedette":{"model":'
                b'{"name":"digits"},"scanned":true}}' % (number, filler.encode(), number % 1000)
            ),
            "vedette.events.v1/0",
            number << 20,
            Measured(200, 1000 + number % 5000, None, None, scanned=True, confidence=0.9),
        )
        for number in range(count)
    ]


def batches(made: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into the batches of one transaction or request."""
    for first in range(0, len(made), BATCH):
        yield made[first : first + BATCH]


def chain_us(made: Sequence[Row]) -> float:
    """Return the CPU time of hash, link and tree of a record."""
    log = Log.begin("vedette/bench/0/0")
    start_s = time.process_time()
    for batch in batches(made):
        log.append([leaf_hash(row.body) for row in batch])
    return (time.process_time() - start_s) / len(made) * 1e6


def bare_sqlite_s(path: Path, made: Sequence[Row]) -> float:
    """Insert batches into the same table without a log, as durably; return the CPU time."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(MIGRATIONS[0])
    start_s = time.process_time()
    for batch in batches(made):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_BARE_INSERT, [row[:8] for row in batch])
        connection.execute("COMMIT")
    took_s = time.process_time() - start_s
    connection.close()
    return took_s


def our_sqlite_s(path: Path, made: Sequence[Row]) -> float:
    """Write the same through the writer, chained and signed; return the CPU time."""
    writer = AuditWriter(path, logs=Logs("vedette", SIGNER, SegmentRules()))
    writer.open()
    start_s = time.process_time()
    for result in [writer.submit(batch, ("vedette.audit.v1", 0)) for batch in batches(made)]:
        result.result()
    took_s = time.process_time() - start_s
    writer.close()
    return took_s


def verify_per_s(path: Path) -> float:
    """Verify the whole database; return records a second of CPU."""
    with open_reader(path) as connection:
        trail = SqliteTrail(connection)
        verify_trail(trail, NoteVerifier(SIGNER.verifier))  # the pages are in memory then
        start_s = time.process_time()
        report = verify_trail(trail, NoteVerifier(SIGNER.verifier))
        took_s = time.process_time() - start_s
    if report.faults:
        raise SystemExit("the database that was just written does not verify")
    return report.records / took_s


async def bare_bulk_s(url: str, documents: Sequence[bytes]) -> float:
    """Send documents with the client's own helper; return the time."""
    stream = f"logs-vedette.audit-b{uuid.uuid4().hex[:10]}"

    def expand(item: Any) -> Any:
        number, body = item
        return {"create": {"_index": stream, "_id": str(number)}}, body

    async with AsyncElasticsearch(url) as client:
        start_s = time.perf_counter()
        async for _ in async_streaming_bulk(
            client,
            list(enumerate(documents)),  # type: ignore[arg-type] # the callback takes them
            expand_action_callback=expand,
            chunk_size=1000,
        ):
            pass
        return time.perf_counter() - start_s


async def our_bulk_s(url: str, documents: Sequence[bytes]) -> float:
    """Send the same documents as the indexer does; return the time."""
    stream = f"logs-vedette.audit-v{uuid.uuid4().hex[:10]}"
    settings = ElasticSettings(urls=(url,))
    async with make_client(settings) as client:
        writer = BulkWriter(client, settings)
        items = [Item(stream, str(number), body) for number, body in enumerate(documents)]
        start_s = time.perf_counter()
        await writer.write(items)
        return time.perf_counter() - start_s


async def elastic_ratio(url: str, made: Sequence[Row]) -> float:
    """Return the indexer's time over the helper's, the median of alternating runs."""
    place = Place("vedette/bench/0/0", 0, bytes(32), bytes(32))
    documents = [
        with_place(row.body, place._replace(position=number)) for number, row in enumerate(made)
    ]
    ratios = []
    for _ in range(ROUNDS):
        bare_s = await bare_bulk_s(url, documents)
        ratios.append(await our_bulk_s(url, documents) / bare_s)
    return statistics.median(ratios)


def measure(url: str | None, count: int = DOCUMENTS) -> dict[str, float]:
    """Measure everything."""
    made = rows(count)
    ratios = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS):
            bare_s = bare_sqlite_s(Path(directory) / f"bare{number}.sqlite", made)
            ours_s = our_sqlite_s(Path(directory) / f"ours{number}.sqlite", made)
            ratios.append(ours_s / bare_s)
        found = {
            "chain_and_tree_us_per_record": min(chain_us(made) for _ in range(ROUNDS)),
            "verify_records_per_s": max(
                verify_per_s(Path(directory) / "ours0.sqlite") for _ in range(ROUNDS)
            ),
            "sqlite_cpu_over_bare_inserts": statistics.median(ratios),
        }
    if url is not None:
        found["elastic_time_over_bare_bulk"] = asyncio.run(elastic_ratio(url, made[:20_000]))
    return found


if __name__ == "__main__":
    result = measure(sys.argv[1] if len(sys.argv) > 1 else None)
    rounded = {name: round(value, 2) for name, value in result.items()}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(rounded), indent=2).decode() + "\n")
