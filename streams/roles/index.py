"""Index: audit frames and alerts become durable documents.

A chunk is acknowledged after its documents are committed. Ids are functions of the input, so a
chunk that comes again inserts nothing.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import structlog

from config.errors import PoisonRecord, Transient
from streams.dlq import DeadLetters
from streams.frames import AUDIT_SCHEMA, decode_frame
from streams.producer import Producer
from streams.respond.alerts import Alert
from streams.roles.background import Background
from streams.store.documents import alert_row, audit_rows
from streams.store.sqlite import AuditWriter
from streams.topics import ALERTS, AUDIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from streams.roles.base import Chunk, Partition, Record
    from streams.store.sqlite import Row

log = structlog.get_logger(__name__)

#: Chunks on their way to the disk; more of them make larger commits, not more speed.
MAX_IN_FLIGHT = 8
RELEASE_TIMEOUT_S = 20.0

_alerts = msgspec.json.Decoder(Alert)


class IndexRole:
    """Writes the audit trail to SQLite."""

    name = "index"
    topics = (AUDIT, ALERTS)

    def __init__(self, settings: Settings) -> None:
        self._writer = AuditWriter(
            settings.audit_database, batch_documents=settings.index.batch_documents
        )
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        # One thread builds documents, in the order of the chunks, while another commits.
        self._builder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index")
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._background = Background()
        self._stalled = False

    async def start(self) -> None:
        """Open the database and connect."""
        await asyncio.to_thread(self._writer.open)
        await self._producer.start()

    async def assigned(self, partitions: set[Partition]) -> None:
        """Do nothing: the database itself knows what it holds."""

    async def process(self, chunk: Chunk) -> None:
        """Take a chunk on its way to the disk; it is acknowledged when it is there."""
        await self._in_flight.acquire()
        try:
            self._background.check()
        except BaseException:
            self._in_flight.release()
            raise
        self._background.spawn(self._index(chunk), name="index chunk")

    async def release(self, partitions: set[Partition]) -> None:  # noqa: ARG002 - all are waited for
        """Wait until what is in flight is durable, but not for a disk that stays full."""
        await self._background.finish(RELEASE_TIMEOUT_S)

    async def stop(self) -> None:
        """Close the database and disconnect."""
        await self._background.cancel()
        await asyncio.to_thread(self._writer.close)
        await self._producer.stop()
        self._builder.shutdown(wait=False)
        self._background.check()

    async def _index(self, chunk: Chunk) -> None:
        try:
            loop = asyncio.get_running_loop()
            rows, bad = await loop.run_in_executor(self._builder, build_rows, chunk.records)
            letters = [await self._dead_letters.send(*item, self.name) for item in bad]
            await asyncio.gather(self._store(rows), *letters)
            chunk.ack()
        finally:
            self._in_flight.release()

    async def _store(self, rows: Sequence[Row]) -> None:
        """Commit rows, waiting as long as it takes for a disk that is full or locked."""
        while rows:
            try:
                committed = await asyncio.to_thread(self._writer.submit, rows)
                await asyncio.wrap_future(committed)
            except Transient as error:
                self._tell_stall(error)
                await asyncio.sleep(error.retry_after_s)
            else:
                if self._stalled:
                    self._stalled = False
                    log.info("audit database takes documents again")
                return

    def _tell_stall(self, error: Transient) -> None:
        if not self._stalled:
            self._stalled = True
            log.error("audit database takes no documents, waiting", error=str(error))


def build_rows(records: Sequence[Record]) -> tuple[list[Row], list[tuple[Record, PoisonRecord]]]:
    """Turn records of the audit or the alerts topic into rows; bad ones come back apart."""
    rows: list[Row] = []
    bad: list[tuple[Record, PoisonRecord]] = []
    for record in records:
        try:
            rows.extend(_rows(record))
        except PoisonRecord as error:
            bad.append((record, error))
    return rows, bad


def _rows(record: Record) -> list[Row]:
    if record.topic == AUDIT:
        return audit_rows(decode_frame(record.value, AUDIT_SCHEMA))
    return [_alert_row(record.value)]


def _alert_row(value: bytes | None) -> Row:
    if value is None:
        raise PoisonRecord("null_value", "an alert needs a value")
    try:
        return alert_row(_alerts.decode(value))
    except (msgspec.DecodeError, ValueError):
        raise PoisonRecord("bad_alert", "the value does not follow alert.v1") from None


def make(settings: Settings) -> IndexRole:
    """Build the role."""
    return IndexRole(settings)
