"""Index: audit frames, alerts, accesses and dead letters become durable documents.

A chunk is acknowledged after its documents are durable. Ids are functions of the input, so a
chunk that comes again inserts nothing. Every document is chained, and the chain is signed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from config.errors import PoisonRecord
from streams.content.access import access_row
from streams.content.retention import Retention
from streams.dlq import DeadLetters
from streams.dlq_marks import is_mark
from streams.frames import AUDIT_SCHEMA, decode_frame
from streams.ledger.note import ensure_signer
from streams.ledger.publish import Publisher
from streams.ledger.witness import Witness
from streams.producer import Producer
from streams.respond.alerts import PASSING, Alert
from streams.roles.background import Background
from streams.store.dead_letters import dead_letter_row
from streams.store.documents import alert_row, audit_rows
from streams.store.ecs import NAMESPACE
from streams.store.sink import SqliteSink
from streams.topics import ACCESS, ALERTS, AUDIT, DLQ_SUFFIX, TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from streams.ledger.log import Closing
    from streams.roles.base import Chunk, Partition, Record
    from streams.store.row import Row
    from streams.store.sink import OnClosed, Sink

#: Chunks on their way to the disk; more of them make larger commits, not more speed.
MAX_IN_FLIGHT = 8
RELEASE_TIMEOUT_S = 20.0
PUBLISH_TIMEOUT_S = 5.0

DEAD_LETTER_TOPICS = tuple(spec.name for spec in TOPICS if spec.name.endswith(DLQ_SUFFIX))

_alerts = msgspec.json.Decoder(Alert)


class IndexRole:
    """Writes the audit trail to the store of the settings."""

    name = "index"
    topics = (AUDIT, ALERTS, ACCESS, *DEAD_LETTER_TOPICS)

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        index = settings.index
        hook = index.checkpoint_webhook
        self._publisher = Publisher(
            self._producer, index.checkpoint_file, Witness(hook) if hook else None
        )
        self._sink = make_sink(settings, self._publish, self._dead_letters)
        self._namespace = settings.elastic.namespace
        # One thread builds documents, in the order of the chunks, while another commits.
        self._builder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index")
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._background = Background()
        # Apart from the chunks: a release waits for those only.
        self._publishing = Background()
        self._retention = Retention(settings)

    async def start(self) -> None:
        """Connect, and open the store."""
        await self._producer.start()
        await self._sink.open()
        self._retention.start()

    async def assigned(self, partitions: set[Partition]) -> None:
        """Let the store get ready for the partitions."""
        await self._sink.assigned(partitions)

    async def process(self, chunk: Chunk) -> None:
        """Take a chunk on its way to the store; it is acknowledged when it is there."""
        await self._in_flight.acquire()
        try:
            self._background.check()
        except BaseException:
            self._in_flight.release()
            raise
        self._background.spawn(self._index(chunk), name="index chunk")

    async def release(self, partitions: set[Partition]) -> None:
        """Wait until what is in flight is durable, but not for a store that stays full."""
        await self._background.finish(RELEASE_TIMEOUT_S)
        await self._sink.release(partitions)

    async def stop(self) -> None:
        """Close the store and disconnect."""
        await self._background.cancel()
        await self._retention.stop()
        await self._sink.close()
        await asyncio.sleep(0)  # the last segments were handed over by another thread
        await self._publishing.finish(PUBLISH_TIMEOUT_S)
        await self._publisher.close(PUBLISH_TIMEOUT_S)
        await self._producer.stop()
        self._builder.shutdown(wait=False)
        self._background.check()

    async def _index(self, chunk: Chunk) -> None:
        try:
            loop = asyncio.get_running_loop()
            first = self._sink.first_offset(chunk.source)
            records = [record for record in chunk.records if record.offset >= first]
            rows, bad = await loop.run_in_executor(
                self._builder, build_rows, records, self._namespace
            )
            stored = asyncio.ensure_future(self._sink.store(chunk, rows))
            try:
                letters = [await self._dead_letters.send(*item, self.name) for item in bad]
                await asyncio.gather(stored, *letters)
            finally:
                stored.cancel()
            chunk.ack()
        finally:
            self._in_flight.release()

    def _publish(self, closings: list[Closing]) -> asyncio.Task[None]:
        publishing = self._publisher.publish(closings)
        return self._publishing.spawn(publishing, name="publish checkpoints")


def make_sink(settings: Settings, on_closed: OnClosed, dead_letters: DeadLetters) -> Sink:
    """Return the store that the settings name."""
    signer = ensure_signer(settings.checkpoint_key, settings.index.log_name)
    if settings.index.store == "elasticsearch":
        from streams.elastic.sink import ElasticSink  # noqa: PLC0415 - not needed for SQLite

        return ElasticSink(settings, signer, on_closed, dead_letters)
    return SqliteSink(settings, signer, on_closed)


def build_rows(
    records: Sequence[Record], namespace: str = NAMESPACE
) -> tuple[list[Row], list[tuple[Record, PoisonRecord]]]:
    """Turn records of the role's topics into rows; bad ones come back apart."""
    rows: list[Row] = []
    bad: list[tuple[Record, PoisonRecord]] = []
    for record in records:
        try:
            rows.extend(_rows(record, namespace))
        except PoisonRecord as error:
            bad.append((record, error))
    return rows, bad


def _rows(record: Record, namespace: str) -> list[Row]:
    if record.topic.endswith(DLQ_SUFFIX):
        return [] if is_mark(record) else [dead_letter_row(record, namespace)]
    if record.topic == AUDIT:
        return audit_rows(decode_frame(record.value, AUDIT_SCHEMA), namespace)
    if record.topic == ACCESS:
        return [access_row(record.value, namespace)]
    return _alert_rows(record.value, namespace)


def _alert_rows(value: bytes | None, namespace: str) -> list[Row]:
    if value is None:
        raise PoisonRecord("null_value", "an alert needs a value")
    try:
        alert = _alerts.decode(value)
        # A sign of life each minute says nothing of what was watched.
        return [] if alert.state in PASSING else [alert_row(alert, namespace)]
    except (msgspec.DecodeError, ValueError):
        raise PoisonRecord("bad_alert", "the value does not follow alert.v1") from None


def make(settings: Settings) -> IndexRole:
    """Build the role."""
    return IndexRole(settings)
