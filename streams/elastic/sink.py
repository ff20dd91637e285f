"""The index role's way to Elasticsearch: documents, then the state of their log, then the ack."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec
import structlog

from config.errors import Fatal, PoisonRecord
from streams.elastic.bulk import BulkWriter, Item
from streams.elastic.client import make_client
from streams.elastic.document import without_content
from streams.elastic.held import filled_places, open_leaves
from streams.elastic.logs import PartitionLog, Placed, SavedLog, close
from streams.elastic.metrics import DOCUMENTS, LAG
from streams.elastic.outbox import Outbox
from streams.elastic.streams import checkpoint_document, stream_of
from streams.ledger.log import Closing, closed_at, new_origin
from streams.respond.times import iso
from streams.state import SnapshotStore
from streams.store.windows import window_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from streams.dlq import DeadLetters
    from streams.elastic.bulk import Refusal
    from streams.ledger.note import NoteSigner
    from streams.roles.base import Chunk, Partition
    from streams.store.row import Row
    from streams.store.sink import OnClosed

log = structlog.get_logger(__name__)

STAGE = "index"
#: A release does not wait longer for Elasticsearch to take the last checkpoint.
LAST_CHECKPOINT_S = 5.0
RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class _Refused:
    """A refused document as a record for the dead letters."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class _Pending:
    """A chunk under way."""

    placed: Placed
    oldest_ms: int
    saved: asyncio.Future[None]
    durable: bool = False


@dataclass(slots=True)
class _Owned:
    """A partition of ours."""

    log: PartitionLog
    saved: SavedLog
    #: Places that were filled by a run that did not come to save its state.
    filled: set[int]
    pending: deque[_Pending] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    saver: asyncio.Task[None] | None = None
    open_since_s: float | None = None
    #: Windows among the saved ones that have been sent.
    arrived: set[str] = field(default_factory=set)


class ElasticSink:
    """Writes documents to data streams and keeps the logs of the owned partitions.

    Parameters
    ----------
    settings
        Where Elasticsearch and the state are.
    signer
        Signs checkpoints.
    on_closed
        Called with segments that were closed.
    dead_letters
        Take the documents that Elasticsearch refuses.
    """

    def __init__(
        self,
        settings: Settings,
        signer: NoteSigner,
        on_closed: OnClosed,
        dead_letters: DeadLetters,
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._on_closed = on_closed
        self._dead_letters = dead_letters
        self._store = SnapshotStore(settings.state)
        self._windows = window_rules(settings.index)
        self._client = make_client(settings.elastic)
        self._bulk = BulkWriter(self._client, settings.elastic)
        self._outbox = Outbox(self._client, self._bulk, settings.elastic.namespace)
        self._owned: dict[Partition, _Owned] = {}

    async def open(self) -> None:
        """Do nothing: Elasticsearch may be away when the role starts."""

    async def assigned(self, partitions: set[Partition]) -> None:
        """Load the logs of partitions, or begin them."""
        for partition in partitions:
            stream = stream_of(partition.topic, self._settings.elastic.namespace)
            read = await asyncio.to_thread(self._store.read, _name(partition))
            if read is None:
                origin = new_origin(self._settings.index.log_name, *partition)
                made = PartitionLog.begin(origin, stream, self._windows)
                # Before the first document: its id must not be given out a second time.
                await self._write(partition, made.saved())
                filled: set[int] = set()
            else:
                saved = msgspec.json.decode(read[1], type=SavedLog)
                leaves = await open_leaves(self._client, stream, saved)
                made = PartitionLog(saved, stream, self._windows, leaves=leaves)
                filled = await filled_places(self._client, stream, saved)
                made.sent(await self._outbox.arrived(saved.due))
            owned = _Owned(made, made.saved(), filled)
            if owned.saved.size > owned.saved.closed:
                owned.open_since_s = time.monotonic()
            owned.saver = asyncio.create_task(self._keep_saving(partition, owned))
            self._owned[partition] = owned

    async def store(self, chunk: Chunk, rows: Sequence[Row]) -> None:
        """Return when the rows and the state after them are durable."""
        owned = self._owned[chunk.source]
        placed = owned.log.place(rows, chunk.next_offset)
        pending = _Pending(
            placed, chunk.records[0].timestamp, asyncio.get_running_loop().create_future()
        )
        owned.pending.append(pending)
        if owned.open_since_s is None and placed.rows:
            owned.open_since_s = time.monotonic()
        items = self._missing(owned, placed)
        refused = await self._bulk.write(items)
        if refused:
            await self._withhold(chunk, placed, refused)
        pending.durable = True
        owned.changed.set()
        await pending.saved

    def first_offset(self, source: Partition) -> int:
        """Return the offset before which everything of a partition is stored."""
        owned = self._owned.get(source)
        return 0 if owned is None else owned.log.next_offset

    async def release(self, partitions: set[Partition]) -> None:
        """Save what is durable, sign it, and let the partitions go."""
        for partition in partitions & self._owned.keys():
            owned = self._owned.pop(partition)
            await _stop(owned)
            await self._save(partition, owned)
            if owned.saved.size > owned.saved.closed:
                try:
                    async with asyncio.timeout(LAST_CHECKPOINT_S):
                        await self._close_segment(partition, owned)
                except TimeoutError:
                    log.warning("the last checkpoint waits for the next start")

    async def close(self) -> None:
        """Disconnect."""
        for owned in self._owned.values():
            await _stop(owned)
        await self._client.close()

    def _missing(self, owned: _Owned, placed: Placed) -> list[Item]:
        """Return the items that are not stored yet."""
        if not owned.filled:
            return list(placed.items)
        kept = [
            item
            for item, place in zip(placed.items, placed.places, strict=True)
            if place.position not in owned.filled
        ]
        DOCUMENTS.labels(outcome="replayed").inc(len(placed.items) - len(kept))
        return kept

    async def _withhold(self, chunk: Chunk, placed: Placed, refused: Sequence[Refusal]) -> None:
        """Dead-letter refused documents, and put their hashes into the stream in their place."""
        by_id = {
            item.id: (row, place)
            for item, row, place in zip(placed.items, placed.rows, placed.places, strict=True)
        }
        stubs = []
        for item, reason in refused:
            row, place = by_id[item.id]
            stubs.append(item._replace(body=without_content(row.body, place, why=reason)))
            if reason != "parked":
                await self._dead_letter(chunk, row, reason)
        if await self._bulk.write(stubs):
            raise Fatal("Elasticsearch refuses even a document's hash; run `vedette elastic setup`")

    async def _dead_letter(self, chunk: Chunk, row: Row, reason: str) -> None:
        record = _Refused(
            *chunk.source,
            offset=chunk.records[0].offset,
            timestamp=chunk.records[0].timestamp,
            key=None,
            value=row.body,
            headers=(("content-type", b"application/json"),),
        )
        error = PoisonRecord("refused_by_elasticsearch", reason)
        await (await self._dead_letters.send(record, error, STAGE))

    async def _keep_saving(self, partition: Partition, owned: _Owned) -> None:
        """Save whenever chunks have become durable, and sign in time."""
        while True:
            # Not wait_for: in Python 3.11 it may swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(owned)):
                    await owned.changed.wait()
            owned.changed.clear()
            try:
                await self._save(partition, owned)
                await self._send_windows(partition, owned)
                if self._is_due(owned):
                    await self._close_segment(partition, owned)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                self._fail(owned, error)
                await asyncio.sleep(RETRY_AFTER_S)

    async def _save(self, partition: Partition, owned: _Owned) -> None:
        done = list(takewhile(lambda item: item.durable, owned.pending))
        if done:
            await self._write_after(partition, owned, done[-1].placed.after)
            for item in done:
                owned.pending.popleft()
                if not item.saved.done():
                    item.saved.set_result(None)
        oldest_ms = owned.pending[0].oldest_ms if owned.pending else None
        LAG.set(0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000))

    async def _write_after(self, partition: Partition, owned: _Owned, after: SavedLog) -> None:
        """Save a state that was taken of the log before a checkpoint may have been signed."""
        state = closed_at(after.state, owned.saved.closed)
        saved = msgspec.structs.replace(after, closed=state.closed, blocks=state.blocks)
        await self._write(partition, saved)
        owned.saved = saved

    async def _send_windows(self, partition: Partition, owned: _Owned) -> None:
        """Send the windows that are saved; close those of a partition that fell silent first."""
        if not owned.pending and owned.log.windows_due_s() == 0.0:
            owned.log.close_windows()
            await self._write_after(partition, owned, owned.log.saved())
        due = [item for item in owned.saved.due if item.id not in owned.arrived]
        if due:
            await self._outbox.send(due)
            owned.log.sent(due)
            owned.arrived = {item.id for item in owned.saved.due}

    async def _close_segment(self, partition: Partition, owned: _Owned) -> None:
        """Sign what is saved: to Elasticsearch, then to the state, then to everybody."""
        saved, segment = close(owned.saved, self._signer, iso(datetime.now(UTC)))
        namespace = self._settings.elastic.namespace
        await self._bulk.write([Item(*checkpoint_document(segment, namespace))])
        # Published before it counts as closed: a run that is killed here closes it once more.
        closing = Closing(segment, owned.log.tiles(segment.size))
        await asyncio.shield(self._on_closed([closing]))
        await self._write(partition, saved)
        owned.saved = saved
        owned.log.closed(saved.size)
        owned.open_since_s = time.monotonic() if owned.pending else None

    async def _write(self, partition: Partition, saved: SavedLog) -> None:
        await asyncio.to_thread(self._store.write, _name(partition), {}, msgspec.json.encode(saved))

    def _is_due(self, owned: _Owned) -> bool:
        unsigned = owned.saved.size - owned.saved.closed
        if not unsigned:
            return False
        return unsigned >= self._settings.index.checkpoint_records or self._until_due_s(owned) == 0

    def _pause_s(self, owned: _Owned) -> float | None:
        """Return how long there is nothing to do of one's own accord."""
        due = (self._until_due_s(owned), None if owned.pending else owned.log.windows_due_s())
        return min((seconds for seconds in due if seconds is not None), default=None)

    def _until_due_s(self, owned: _Owned) -> float | None:
        if owned.open_since_s is None or owned.saved.size == owned.saved.closed:
            return None
        due_s = owned.open_since_s + self._settings.index.checkpoint_interval_s
        return max(0.0, due_s - time.monotonic())

    def _fail(self, owned: _Owned, error: Exception) -> None:
        log.error("the state of a log could not be saved", error=type(error).__name__)
        for item in owned.pending:
            if not item.saved.done():
                item.saved.set_exception(error)


async def _stop(owned: _Owned) -> None:
    if owned.saver is not None:
        owned.saver.cancel()
        await asyncio.gather(owned.saver, return_exceptions=True)
        owned.saver = None


def _name(partition: Partition) -> str:
    return f"index.{partition.topic}.{partition.partition}.safetensors"
