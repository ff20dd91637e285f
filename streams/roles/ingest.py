"""Ingest: records of any producer become frames of interactions.

A chunk's offsets are acknowledged once Kafka has its frames and dead letters, and a snapshot has
the halves that wait and which events were seen, so that state on disk and committed offsets
always agree. A worker that is killed repeats what came after, with
the same positions; readers drop positions that they have passed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog
from aiokafka.errors import KafkaError

from config.errors import ConfigError, Fatal, PoisonRecord
from streams.decode import RecordDecoder
from streams.decode.runs import RunDecoder
from streams.dlq import Call, DeadLetters
from streams.identity import load_pseudonyms
from streams.ingest.delivery import Delivery
from streams.ingest.frame_builder import FrameBuilder
from streams.ingest.halves import split_scattered, unpack_half
from streams.ingest.join import Joiner
from streams.ingest.metrics import FORWARDED, JOINS
from streams.producer import MAX_REQUEST_BYTES, Producer
from streams.state import SnapshotStore
from streams.topics import HALVES, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from config.settings import Settings
    from streams.decode.model import Decoded
    from streams.decode.runs import Run
    from streams.ingest.frame_builder import Frame
    from streams.roles.base import Chunk, Partition, Record

log = structlog.get_logger(__name__)

_JOIN_ARRAY = "join"


class _Taken(NamedTuple):
    """What of a chunk goes elsewhere than into frames."""

    refused: list[tuple[Record, PoisonRecord]]
    halves: list[Decoded]

    def take(self, record: Record, decoded: Decoded) -> Decoded | None:
        """Take refused calls and what is joined elsewhere out of a record; return the rest."""
        self.refused.extend((Call(record, call), call.error) for call in decoded.refused)
        away, staying = split_scattered(decoded)
        self.halves.extend(away)
        return staying


@dataclass
class _Owned:
    """A partition of ours, and which of its acknowledgements wait for what."""

    source: Partition
    joiner: Joiner
    builder: FrameBuilder
    disk_empty: bool = True
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: list[Callable[[], None]] = field(default_factory=list)
    delivery: asyncio.Task[None] | None = None
    decided_unwritten: bool = False
    last_record_s: float = field(default_factory=time.monotonic)

    @property
    def snapshot_name(self) -> str:
        """Name of its snapshot in the store."""
        return f"ingest-{self.source.topic}-{self.source.partition}"

    async def delivered(self) -> None:
        """Wait until everything that was handed over is with the broker."""
        if self.delivery is not None:
            await self.delivery


class IngestRole:
    """Decodes, joins and packs the records of ``settings.ingest.topics``.

    Attributes
    ----------
    counts
        ``records``, ``interactions``, ``frames``, ``tombstones``, ``refused``, ``replayed``,
        ``forwarded`` (halves sent to where they meet), and those of `Joiner.counts`.
    """

    name = "ingest"

    def __init__(self, settings: Settings) -> None:
        _refuse_strange_sources(settings)
        self.topics = (*settings.ingest.topics, HALVES)
        self._settings = settings.ingest
        self._partitions = settings.partitions
        self._store = SnapshotStore(settings.state)
        names = load_pseudonyms(settings)
        self._decoder = RecordDecoder(settings.ingest, names)
        self._run_decoder = RunDecoder(settings.ingest, names)
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        self._delivery = Delivery(self._producer, self._dead_letters, settings.partitions)
        self._owned: dict[Partition, _Owned] = {}
        self._snapshots: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Start the producer and the regular snapshots.

        Raises
        ------
        ConfigError
            If a topic that is written to has another number of partitions than the settings say.
        """
        await self._producer.start()
        await self._check_partitions()
        self._snapshots = asyncio.create_task(self._snapshot_regularly(), name="ingest-snapshots")

    async def assigned(self, partitions: set[Partition]) -> None:
        """Load the waiting halves, and emit what the last snapshot had decided on."""
        for source in partitions:
            owned = await self._load(source)
            if owned.joiner.decided:
                await self._emit_decided(owned)
            self._owned[source] = owned

    async def process(self, chunk: Chunk) -> None:
        """Decode and join a chunk, and hand its frames over; the last one's must be delivered.

        While Kafka takes the frames of this chunk the next one is decoded.
        """
        self._raise_failure()
        owned = self._owned.get(chunk.source)
        if owned is None:
            return
        async with owned.lock:
            taken = self._take(owned, chunk)
            frames = owned.builder.flush()
            safe = owned.joiner.is_empty and owned.disk_empty
            await owned.delivered()
            owned.delivery = asyncio.create_task(
                self._deliver(owned, frames, taken, chunk.ack, safe=safe)
            )

    async def release(self, partitions: set[Partition]) -> None:
        """Deliver and snapshot, so that every acknowledgement goes out."""
        for source in partitions & self._owned.keys():
            await self._snapshot(self._owned[source], last=True)
            self._count_joins(self._owned[source].joiner)
            del self._owned[source]  # its next owner may write snapshots now

    async def stop(self) -> None:
        """Stop the snapshots and the producer."""
        if self._snapshots is not None:
            self._snapshots.cancel()
            with suppress(asyncio.CancelledError, Fatal):
                await self._snapshots
        await self._producer.stop()
        log.info("ingest.stopped", **self.counts)

    async def _load(self, source: Partition) -> _Owned:
        settings = self._settings
        joiner = Joiner(
            timeout_ms=round(settings.join_timeout_s * 1000),
            max_pending=settings.max_pending_halves,
            max_pending_bytes=settings.max_pending_bytes,
            remembered=settings.dedup_events,
        )
        builder = FrameBuilder(
            source,
            partitions=self._partitions,
            max_rows=settings.frame_rows,
            max_bytes=settings.frame_bytes,
        )
        owned = _Owned(source, joiner, builder)
        snapshot = await asyncio.to_thread(self._store.read, owned.snapshot_name)
        if snapshot is not None:
            joiner.restore(snapshot[0][_JOIN_ARRAY].tobytes())
            owned.disk_empty = joiner.is_empty
        return owned

    def _take(self, owned: _Owned, chunk: Chunk) -> _Taken:
        """Run the records through decoder and joiner into the frames; return the others."""
        owned.last_record_s = time.monotonic()
        taken = _Taken([], [])
        records, done = chunk.records, 0
        for run in self._runs(owned, chunk):
            start, stop = run.at[0], run.at[-1] + 1
            self._take_rows(owned, records[done:start], taken)
            if not self._take_run(owned, run):
                self._take_rows(owned, records[start:stop], taken)
            done = stop
        self._take_rows(owned, records[done:], taken)
        self.counts["records"] += len(records)
        self.counts["refused"] += len(taken.refused)
        self.counts["forwarded"] += len(taken.halves)
        FORWARDED.inc(len(taken.halves))
        if owned.joiner.counts:
            self._count_joins(owned.joiner)
        return taken

    def _runs(self, owned: _Owned, chunk: Chunk) -> Iterator[Run]:
        """Return the usual records, in pieces between which there are others."""
        is_new = chunk.records[0].offset >= owned.joiner.next_offset
        run = None
        if is_new and chunk.source.topic != HALVES:
            run = self._run_decoder.decode(chunk.records)
        return iter(()) if run is None else run.pieces()

    def _take_run(self, owned: _Owned, run: Run) -> bool:
        """Tell a run; False if its records must be told one by one."""
        told = owned.joiner.add_run(run, int(run.broker_ms.max()))
        if told is None:
            return False
        owned.builder.add_run(run, told)
        self.counts["interactions"] += len(told)
        return True

    def _take_rows(self, owned: _Owned, records: Sequence[Record], taken: _Taken) -> None:
        joiner, add = owned.joiner, owned.builder.add
        emitted = 0
        for record in records:
            if record.offset < joiner.next_offset and self._is_replay(record, joiner):
                continue
            try:
                decoded = self._decode(record)
            except PoisonRecord as error:
                taken.refused.append((record, error))
                decoded = None
            if decoded is not None and (decoded.refused or decoded.scattered):
                decoded = taken.take(record, decoded)
            for row in joiner.add(record.offset, record.timestamp, decoded):
                add(row)
                emitted += 1
        self.counts["interactions"] += emitted

    def _decode(self, record: Record) -> Decoded | None:
        if record.topic == HALVES:
            return unpack_half(record, MAX_REQUEST_BYTES)
        return self._decoder.decode(record)

    def _is_replay(self, record: Record, joiner: Joiner) -> bool:
        """Say whether a record was told before; not if it is younger than all that were.

        A topic that was made anew begins anew.
        """
        if record.timestamp > joiner.latest_ms:
            joiner.rewind()
            return False
        self.counts["replayed"] += 1
        return True

    def _count_joins(self, joiner: Joiner) -> None:
        """Add up what a joiner has counted, and begin anew."""
        self.counts.update(joiner.counts)
        for outcome, count in joiner.counts.items():
            JOINS.labels(outcome).inc(count)
        joiner.counts.clear()

    async def _check_partitions(self) -> None:
        """Refuse to scatter clients and halves over other partitions than readers expect."""
        for topic in (INTERACTIONS, HALVES):
            try:
                found = await self._producer.partitions_of(topic)
            except KafkaError as error:
                raise ConfigError(
                    f"ingest cannot see the topic {topic} ({type(error).__name__}); "
                    "run `vedette topics apply`"
                ) from None
            if found != self._partitions:
                raise ConfigError(
                    f"{topic} has {found} partitions, but VEDETTE_PARTITIONS is "
                    f"{self._partitions}: set it to {found}, as every role on this broker must"
                )

    async def _deliver(
        self,
        owned: _Owned,
        frames: list[Frame],
        taken: _Taken,
        ack: Callable[[], None],
        *,
        safe: bool,
    ) -> None:
        await self._delivery.send(frames, taken.refused, taken.halves)
        self.counts["frames"] += len(frames)
        owned.held.append(ack)
        if safe:
            _release_held(owned)

    async def _snapshot_regularly(self) -> None:
        """Take snapshots for ever; a store that fails for a while is tried again."""
        while True:
            await asyncio.sleep(self._settings.snapshot_interval_s)
            for owned in list(self._owned.values()):
                try:
                    await self._snapshot(owned)
                except OSError as error:
                    log.error("ingest.snapshot_failed", error=type(error).__name__)  # noqa: TRY400 - no trace: paths

    async def _snapshot(self, owned: _Owned, *, last: bool = False) -> None:
        async with owned.lock:
            if self._owned.get(owned.source) is not owned:
                return
            await owned.delivered()
            idle_s = time.monotonic() - owned.last_record_s
            if idle_s >= self._settings.join_timeout_s and not last:
                self._decide_idle(owned)
            if not owned.held and not owned.decided_unwritten:
                return
            if owned.joiner.is_empty and owned.disk_empty:
                _release_held(owned)
                return
            await self._write(owned)
            if owned.joiner.decided:
                await self._emit_decided(owned)

    def _decide_idle(self, owned: _Owned) -> None:
        """Give up on the halves of a quiet partition: no record will bring the time to do so."""
        if not owned.joiner.is_empty:
            owned.joiner.expire_all()
            self._count_joins(owned.joiner)
            owned.decided_unwritten = True

    async def _write(self, owned: _Owned) -> None:
        """Write the state, then let go the acknowledgements it covers."""
        held, owned.held = owned.held, []
        try:
            state = np.frombuffer(owned.joiner.snapshot(), np.uint8)
            meta = b'{"next_offset":%d}' % owned.joiner.next_offset
            await asyncio.to_thread(
                self._store.write, owned.snapshot_name, {_JOIN_ARRAY: state}, meta
            )
        except OSError:
            owned.held = held + owned.held
            raise
        owned.disk_empty = owned.joiner.is_empty
        owned.decided_unwritten = False
        for ack in held:
            ack()

    async def _emit_decided(self, owned: _Owned) -> None:
        """Emit orphans whose positions a snapshot holds; the next one forgets them."""
        for row in owned.joiner.decided:
            owned.builder.add(row)
        self.counts["interactions"] += len(owned.joiner.decided)
        frames = owned.builder.flush()
        await self._delivery.send(frames)
        self.counts["frames"] += len(frames)
        owned.joiner.forget_decided()
        owned.decided_unwritten = True

    def _raise_failure(self) -> None:
        """Stop the worker if the snapshots have failed for good."""
        if self._snapshots is not None and self._snapshots.done():
            self._snapshots.result()


def _refuse_strange_sources(settings: Settings) -> None:
    """Refuse settings of sources that are not read: a misspelt topic would silently be ignored."""
    strange = sorted(settings.ingest.sources.keys() - set(settings.ingest.topics))
    if strange:
        raise ConfigError(
            f"VEDETTE_INGEST__SOURCES names {', '.join(strange)}, "
            "which VEDETTE_INGEST__TOPICS does not"
        )


def _release_held(owned: _Owned) -> None:
    held, owned.held = owned.held, []
    for ack in held:
        ack()


def make(settings: Settings) -> IngestRole:
    """Return the ingest role.

    Parameters
    ----------
    settings
        Process settings.
    """
    return IngestRole(settings)
