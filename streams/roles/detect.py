"""Detect: frames of interactions become findings and audit records.

Findings and audit frames go out at once. The offsets of the frames they came from are
acknowledged by the next snapshot, so that state on disk and committed offset always agree: a
worker that is killed starts from both and repeats, with the same ids, what came after.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pyarrow as pa
import structlog

from config.errors import PoisonRecord
from detectors.registry import registered
from models.device import limit_threads
from models.errors import UntrustedError
from models.profiles import load_profiles
from streams.content.keeper import make_keeper
from streams.detect.backlog import Backlog
from streams.dlq import DeadLetters
from streams.engine import Detected, Engine, EngineOptions
from streams.frames import FRAME_CONTENT_TYPE, decode_frame, encode_frame
from streams.metrics.catalogue import (
    DETECTOR_EVICTIONS,
    DETECTOR_KEYS,
    DETECTOR_SECONDS,
    SEVERITY_LABELS,
    SIGNATURE_CHECKS,
    UNSCANNED,
)
from streams.metrics.catalogue import FINDINGS as FINDINGS_FOUND
from streams.producer import Producer
from streams.roles.background import Background
from streams.state import SnapshotStore
from streams.topics import AUDIT, FINDINGS, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from config.settings import Settings
    from detectors.finding import Finding
    from models.profiles import LoadedProfile
    from streams.roles.base import Chunk, Partition

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Small frames are joined up to this many rows before the detectors see them. Twice as many no
#: longer fit into the cache, and cost a third more each.
GATHER_ROWS = 2048
#: Chunks whose findings and audit frames may be on their way at once.
MAX_IN_FLIGHT = 4
#: A record of the audit topic stays below what brokers take, whatever content it holds.
MAX_AUDIT_BYTES = 4 << 20
#: A snapshot may take at most this share of the time between two.
MAX_SNAPSHOT_SHARE = 0.1
FINDING_HEADERS = (
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_type", b"io.vedette.finding.v1"),
    ("ce_source", b"vedette/detect"),
)
AUDIT_HEADERS = (("content-type", FRAME_CONTENT_TYPE.encode()),)


@dataclass
class _Owned:
    """A partition of ours: its detectors, and what is not yet covered by a snapshot."""

    engine: Engine
    next_offset: int = 0
    held: list[Chunk] = field(default_factory=list)
    in_flight: list[asyncio.Future[object]] = field(default_factory=list)
    snapshot_due_s: float = 0.0
    evicted: int = 0
    unscanned: int = 0


class DetectRole:
    """Runs an `Engine` for each owned partition of the interactions."""

    name = "detect"
    topics = (INTERACTIONS,)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = SnapshotStore(settings.state)
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="detect")
        keeper = make_keeper(settings)
        self._keep = keeper.keep if keeper else None
        self._profiles: Mapping[str, LoadedProfile] = {}
        self._owned: dict[Partition, _Owned] = {}
        self._backlog = Backlog()
        self._background = Background()
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Load the profiles, connect, detect, and keep snapshotting while traffic is quiet."""
        limit_threads(1)
        self._profiles = await self._load_profiles()
        # River takes seconds to import: now, not when the first frame waits for it.
        detectors = await self._run(registered)
        for entry in detectors:
            DETECTOR_SECONDS.labels(entry.name)
            DETECTOR_KEYS.labels(entry.name).set(0)
            for severity in SEVERITY_LABELS:
                FINDINGS_FOUND.labels(entry.name, severity)
        log.info("profiles loaded", models=sorted(self._profiles), detectors=len(detectors))
        await self._producer.start()
        self._background.spawn(self._work_off(), name="detect")
        self._background.spawn(self._snapshot_when_quiet(), name="snapshots")

    async def assigned(self, partitions: set[Partition]) -> None:
        """Start each partition from its snapshot."""
        for partition in partitions:
            owned = _Owned(Engine(self._profiles, self._engine_options(), self._keep))
            saved = await self._run(self._store.read, _snapshot_name(partition))
            if saved is not None:
                arrays, meta = saved
                state = msgspec.json.decode(meta, type=_SnapshotMeta)
                owned.next_offset = state.next_offset
                await self._run(owned.engine.restore, arrays, bytes(state.engine))
            self._owned[partition] = owned

    async def process(self, chunk: Chunk) -> None:
        """Queue a chunk of frames; its acknowledgement waits for the snapshot that covers it."""
        self._background.check()
        owned = self._owned.get(chunk.source)
        if owned is not None:
            await self._backlog.put(chunk, await self._frames(owned, chunk))

    async def release(self, partitions: set[Partition]) -> None:
        """Work off, snapshot and acknowledge what is held, then let the partitions go."""
        self._background.check()
        async with self._lock:
            for partition in partitions & self._owned.keys():
                await self._detect(partition)
                await self._snapshot(partition)
                del self._owned[partition]
        self._show_keys()

    async def stop(self) -> None:
        """Close the producer and the detection thread."""
        await self._background.cancel()
        await self._producer.stop()
        self._thread.shutdown()
        self._background.check()

    async def _load_profiles(self) -> Mapping[str, LoadedProfile]:
        detect = self._settings.detect
        try:
            profiles = await self._run(
                load_profiles, self._settings.profiles, detect.profile_key, detect.device
            )
        except UntrustedError:
            SIGNATURE_CHECKS.labels("refused").inc()
            raise
        SIGNATURE_CHECKS.labels("ok").inc(len(profiles))
        return profiles

    async def _frames(self, owned: _Owned, chunk: Chunk) -> list[pa.RecordBatch]:
        """Read the frames of a chunk; bad ones go to the dead letters."""
        frames = []
        for record in chunk.records:
            if record.offset < owned.next_offset:
                continue
            try:
                frames.append(decode_frame(record.value))
            except PoisonRecord as error:
                letter = await self._dead_letters.send(record, error, stage=self.name)
                owned.in_flight.append(letter)
        return frames

    async def _work_off(self) -> None:
        """Detect on what waits, partition by partition, for ever."""
        try:
            while True:
                partition = await self._backlog.next_due()
                async with self._lock:
                    await self._detect(partition)
                    owned = self._owned.get(partition)
                    if owned is not None and time.monotonic() >= owned.snapshot_due_s:
                        await self._snapshot(partition)
        finally:
            self._backlog.close()

    async def _detect(self, partition: Partition) -> None:
        """Detect on all that waits of a partition."""
        waiting = self._backlog.take(partition)
        owned = self._owned.get(partition)
        if owned is None or not waiting:
            return  # not acknowledged: the next owner reads it again
        try:
            for batch in gather([frame for item in waiting for frame in item.frames]):
                detected = await self._run(owned.engine.process, batch)
                self._measure(owned)
                await self._publish(owned, partition.partition, detected)
        except BaseException:
            del self._owned[partition]  # state that took half a chunk is never saved
            raise
        for item in waiting:
            owned.held.append(item.chunk)
            owned.next_offset = max(owned.next_offset, item.chunk.next_offset)
        while len(owned.in_flight) > MAX_IN_FLIGHT:
            await owned.in_flight.pop(0)

    def _measure(self, owned: _Owned) -> None:
        """Tell what a batch cost; once a batch, however many events it holds."""
        for name, busy_s in owned.engine.take_busy_s().items():
            DETECTOR_SECONDS.labels(name).observe(busy_s)
        DETECTOR_EVICTIONS.inc(owned.engine.evicted - owned.evicted)
        UNSCANNED.inc(owned.engine.unscanned - owned.unscanned)
        owned.evicted, owned.unscanned = owned.engine.evicted, owned.engine.unscanned
        self._show_keys()

    def _show_keys(self) -> None:
        held = Counter({entry.name: 0 for entry in registered()})
        for owned in self._owned.values():
            held.update(owned.engine.state_keys)
        for name, keys in held.items():
            DETECTOR_KEYS.labels(name).set(keys)

    async def _publish(self, owned: _Owned, partition: int, detected: Detected) -> None:
        for finding in detected.findings:
            owned.in_flight.append(await self._send_finding(finding))
        for part in bounded(detected.audit):
            owned.in_flight.append(
                await self._producer.send(
                    AUDIT,
                    encode_frame(part),
                    partition=partition,
                    headers=AUDIT_HEADERS,
                )
            )

    async def _send_finding(self, finding: Finding) -> asyncio.Future[object]:
        FINDINGS_FOUND.labels(finding.detector, finding.severity).inc()
        return await self._producer.send(
            FINDINGS,
            msgspec.json.encode(finding),
            key=finding.subject.ids[0].encode(),
            headers=(*FINDING_HEADERS, ("ce_id", finding.id.encode())),
        )

    async def _snapshot(self, partition: Partition) -> None:
        """Write the state of a partition, then acknowledge all that it covers."""
        owned = self._owned[partition]
        if not owned.held:
            return
        started_s = time.monotonic()
        in_flight, owned.in_flight = owned.in_flight, []
        await asyncio.gather(*in_flight)
        await self._run(self._write_snapshot, partition, owned)
        for chunk in owned.held:
            chunk.ack()
        owned.held.clear()
        took_s = time.monotonic() - started_s
        pause_s = max(self._settings.detect.snapshot_interval_s, took_s / MAX_SNAPSHOT_SHARE)
        owned.snapshot_due_s = time.monotonic() + pause_s

    def _write_snapshot(self, partition: Partition, owned: _Owned) -> None:
        arrays, engine = owned.engine.snapshot()
        meta = _SnapshotMeta(next_offset=owned.next_offset, engine=msgspec.Raw(engine))
        self._store.write(_snapshot_name(partition), arrays, msgspec.json.encode(meta))

    async def _snapshot_when_quiet(self) -> None:
        while True:
            await asyncio.sleep(self._settings.detect.snapshot_interval_s / 4)
            async with self._lock:
                for partition, owned in list(self._owned.items()):
                    if owned.held and time.monotonic() >= owned.snapshot_due_s:
                        await self._snapshot(partition)

    def _engine_options(self) -> EngineOptions:
        detect = self._settings.detect
        return EngineOptions(
            run_length_events=detect.run_length_events,
            max_clients=detect.max_clients,
            lateness_s=detect.lateness_s,
        )

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run blocking work in the one detection thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


class _SnapshotMeta(msgspec.Struct):
    next_offset: int
    engine: msgspec.Raw


def gather(frames: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Join small frames, so that quiet traffic costs no more per event than busy traffic."""
    joined: list[pa.RecordBatch] = []
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for frame in frames:
        if waiting and rows + frame.num_rows > GATHER_ROWS:
            joined.append(_concat(waiting))
            waiting, rows = [], 0
        waiting.append(frame)
        rows += frame.num_rows
    if waiting:
        joined.append(_concat(waiting))
    return joined


def bounded(audit: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cut an audit frame whose kept content is too much for one record; none if it has no rows."""
    if audit.num_rows <= 1 or audit.nbytes <= MAX_AUDIT_BYTES:
        return [audit] if audit.num_rows else []
    middle = audit.num_rows // 2
    return [*bounded(audit.slice(0, middle)), *bounded(audit.slice(middle))]


def _concat(frames: list[pa.RecordBatch]) -> pa.RecordBatch:
    return frames[0] if len(frames) == 1 else pa.concat_batches(frames)


def _snapshot_name(partition: Partition) -> str:
    return f"detect-{partition.topic}-{partition.partition}"


def make(settings: Settings) -> DetectRole:
    """Build the role."""
    return DetectRole(settings)
