"""Respond: findings become incidents, alerts, verdicts and deliveries.

Kafka is the outbox: this role only writes alerts to their topic. Beside it, one task a sink reads
that topic with a consumer group of its own and delivers.

Records go out at once. The offsets they came from are acknowledged by the next snapshot of the
incidents, so that state on disk and committed offset agree: a worker that is killed starts from
both and writes the same alerts, with the same ids, again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from config.errors import Fatal, PoisonRecord
from streams.dlq import DeadLetters
from streams.identity import load_pseudonyms
from streams.metrics.catalogue import SNAPSHOT_SECONDS
from streams.notify.sinks import deliveries, sinks_of
from streams.producer import Producer
from streams.respond.policy import VerdictPolicy, secret_chance
from streams.respond.responder import Responder, alert_out
from streams.respond.snapshot import dump, load
from streams.respond.verdict_log import end_offsets, load_verdicts
from streams.roles.background import Background
from streams.rules.reload import Rules, directories_of
from streams.selfwatch.watcher import Watcher
from streams.state import SnapshotStore
from streams.topics import FEEDBACK, FINDINGS

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.respond.alerts import Alert
    from streams.respond.responder import Out
    from streams.roles.base import Chunk, Partition, Record

log = structlog.get_logger(__name__)

SOURCE = "vedette/respond"
SNAPSHOT = "respond.incidents"
#: While no finding arrives for so long, event time goes on with the clock.
IDLE_S = 5.0
TICK_S = 0.5
#: A snapshot may take at most this share of the time between two.
MAX_SNAPSHOT_SHARE = 0.1


class RespondRole:
    """Turns findings into alerts and verdicts, and runs the sinks."""

    name = "respond"
    topics = (FINDINGS, FEEDBACK)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        self._store = SnapshotStore(settings.state)
        # Built here, so that wrong rules, URLs or secrets stop the worker before it joins a group.
        self._rules = Rules(directories_of(settings.respond.rules_dir), sinks_of(settings))
        chance = secret_chance(load_pseudonyms(settings).of)
        policy = VerdictPolicy(settings.respond, chance)
        self._responder = Responder(settings.respond, lambda: self._rules.current, policy)
        self._watcher = Watcher(settings, self._publish, self._latest_s)
        self._deliveries = deliveries(settings, self._watcher.sink_disabled)
        self._background = Background()
        self._duties: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()
        self._next_offsets: dict[str, int] = {}
        self._held: list[Chunk] = []
        self._in_flight: list[asyncio.Future[object]] = []
        self._snapshot_due_s = 0.0
        self._heard_s = time.monotonic()

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()
        self._background.spawn(self._rules.watch(), name="rules")

    async def assigned(self, partitions: set[Partition]) -> None:
        """Take over the incidents, the verdicts that hold and the deliveries."""
        if not partitions:
            return
        if {partition.topic for partition in partitions} != set(self.topics):
            # `FetchThread` keeps topics together that have as many partitions as each other.
            raise Fatal(
                f"{FINDINGS} and {FEEDBACK} did not come together; run `vedette topics apply`, "
                "which gives each one partition"
            )
        saved = await asyncio.to_thread(self._store.read, SNAPSHOT)
        if saved is not None:
            responder = self._responder
            offsets = load(saved[1], responder.incidents, responder.book)
            ends = await end_offsets(self._settings.kafka, self.topics)
            self._next_offsets = _within(offsets, ends)
        await load_verdicts(self._responder.book, self._settings.kafka)
        self._watcher.start(self._background)
        self._take_duty()

    async def process(self, chunk: Chunk) -> None:
        """Respond to a chunk; its acknowledgement waits for the next snapshot."""
        async with self._lock:
            self._background.check()
            name = f"{chunk.source.topic}-{chunk.source.partition}"
            done = self._next_offsets.get(name, 0)
            for record in chunk.records:
                if record.offset >= done:
                    await self._take(record)
            self._heard_s = time.monotonic()
            self._next_offsets[name] = max(done, chunk.next_offset)
            self._held.append(chunk)
            if self._heard_s >= self._snapshot_due_s:
                await self._snapshot()

    async def release(self, partitions: set[Partition]) -> None:
        """Leave the work to the next owner; make incidents durable and acknowledge what is held."""
        if partitions:
            await self._leave_duty()
        async with self._lock:
            await self._snapshot()

    async def stop(self) -> None:
        """Stop the deliveries and disconnect."""
        await self._leave_duty()
        await self._background.cancel()
        await self._producer.stop()
        self._background.check()

    def _take_duty(self) -> None:
        """Start what only the owner of the findings may do: a worker in reserve tells nobody."""
        if not self._duties:
            spawn = self._background.spawn
            self._duties = [spawn(self._tick(), name="respond clock")]
            self._duties += [
                spawn(delivery.run(), name=f"sink {name}")
                for name, delivery in self._deliveries.items()
            ]

    async def _leave_duty(self) -> None:
        await self._watcher.stop()
        for task in self._duties:
            task.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        self._duties.clear()

    async def _take(self, record: Record) -> None:
        responder = self._responder
        take = responder.take_finding if record.topic == FINDINGS else responder.take_feedback
        try:
            outs = take(record.value)
        except PoisonRecord as error:
            self._in_flight.append(await self._dead_letters.send(record, error, self.name))
            return
        for out in outs:
            await self._send(out)

    async def _send(self, out: Out) -> None:
        future = await self._producer.send(
            out.topic, out.value, key=out.key.encode(), headers=_headers(out.kind, out.identity)
        )
        self._in_flight.append(future)

    async def _publish(self, alert: Alert) -> None:
        """Write an alert about Vedette itself."""
        async with self._lock:
            await self._send(alert_out(alert))

    def _latest_s(self) -> float:
        return self._responder.incidents.watermark_us / 1e6

    async def _snapshot(self) -> None:
        """Wait for the broker, write the state, then acknowledge all that it covers."""
        if not self._held and not self._in_flight:
            return
        started_s = time.monotonic()
        await asyncio.gather(*self._in_flight)
        self._in_flight.clear()
        responder = self._responder
        state = dump(responder.incidents, responder.book, self._next_offsets)
        await asyncio.to_thread(self._store.write, SNAPSHOT, {}, state)
        for chunk in self._held:
            chunk.ack()
        self._held.clear()
        took_s = time.monotonic() - started_s
        SNAPSHOT_SECONDS.observe(took_s)
        pause_s = self._settings.respond.snapshot_interval_s
        if pause_s:
            pause_s = max(pause_s, took_s / MAX_SNAPSHOT_SHARE)
        self._snapshot_due_s = time.monotonic() + pause_s

    async def _tick(self) -> None:
        """Snapshot while traffic is quiet, and let event time go on with the clock."""
        watermark_us, since_s = 0, time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            async with self._lock:
                now_s = time.monotonic()
                incidents = self._responder.incidents
                if incidents.watermark_us != watermark_us or now_s - self._heard_s < IDLE_S:
                    watermark_us, since_s = incidents.watermark_us, now_s
                elif watermark_us:
                    advanced_us = int((now_s - since_s) * 1e6)
                    for out in self._responder.advance(watermark_us + advanced_us):
                        await self._send(out)
                    watermark_us, since_s = incidents.watermark_us, now_s
                if now_s >= self._snapshot_due_s:
                    await self._snapshot()


def _within(offsets: dict[str, int], ends: dict[str, int]) -> dict[str, int]:
    """Return the offsets to go on from, none beyond the end of its topic.

    A topic that was made anew begins at zero: with the old position its first findings would be
    taken for known ones.
    """
    kept = {name: offset for name, offset in offsets.items() if offset <= ends.get(name, 0)}
    for name in offsets.keys() - kept.keys():
        log.warning(
            "a topic is shorter than what was read of it; reading from where it is", at=name
        )
    return kept


def _headers(kind: str, identity: str) -> list[tuple[str, bytes]]:
    return [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_id", identity.encode()),
    ]


def make(settings: Settings) -> RespondRole:
    """Build the role."""
    return RespondRole(settings)
