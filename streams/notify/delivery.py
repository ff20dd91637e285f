"""The outbox of a sink is Kafka itself: a consumer group of its own on the alerts topic.

The offset of an alert is committed when it was delivered or refused for ever, so a worker that
is killed at any time goes on with the first alert that may not have arrived. What arrives twice
carries the same id. Alerts that come faster than the sink's limit, or in its quiet hours, become
digests; none is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from config.errors import Fatal
from config.respond import QuietHours
from streams.kafka import aiokafka_options
from streams.notify import metrics
from streams.notify.digest import MAX_HELD, digest_of
from streams.notify.limiter import limiter_of
from streams.notify.progress import Progress, group_of, read_progress
from streams.notify.retry import Result, RetryStage
from streams.notify.routing import is_quiet, may_wait, quiet_now, withheld
from streams.respond.alerts import Alert
from streams.topics import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.respond import SinkSettings
    from config.settings import KafkaSettings
    from streams.notify.base import Notifier

log = structlog.get_logger(__name__)

#: A retry may wait for a day between two polls; the heartbeat still watches the process.
MAX_POLL_INTERVAL_MS = 2**31 - 1
POLL_MS = 1000
POLL_RECORDS = 64
RECONNECT_S = 2.0
#: Alerts that quiet hours may hold in memory; beyond them the oldest are told before the end.
MAX_QUIET = 5000

#: A sink that never committed is told of no alerts older than this: they may be a month's.
NEW_SINK_HISTORY_S = 3600.0
MAX_HEARTBEAT_AGE_S = 120.0

_decoder = msgspec.json.Decoder(Alert)


class _Waiting(NamedTuple):
    """A record of the alerts; ``alert`` is None if it is none."""

    offset: int
    sent_ms: int
    alert: Alert | None


class Delivery:
    """Brings the alerts topic to one sink, in order.

    Parameters
    ----------
    notifier
        Where to. It is started and closed here.
    sink
        Its settings: what it takes, how fast, when not.
    kafka
        Where the broker is.
    schedule_s
        Waits between attempts.
    on_disabled
        Told the name and the reason when the sink takes nothing any more.
    """

    def __init__(
        self,
        notifier: Notifier,
        sink: SinkSettings,
        kafka: KafkaSettings,
        schedule_s: Sequence[float],
        on_disabled: Callable[[str, str], None] = lambda _name, _why: None,
    ) -> None:
        self._notifier = notifier
        self._sink = sink
        self._kafka = kafka
        self._stage = RetryStage(notifier, schedule_s)
        self._on_disabled = on_disabled
        self._group = group_of(notifier.name)
        self._limiter = limiter_of(sink)
        self._consumer: Any = None
        self._partition: Any = None
        self._waiting: deque[_Waiting] = deque()
        self._not_before_ms = 0
        self._quiet: list[Alert] = []
        self._quiet_from: int | None = None
        self._position = 0

    async def run(self) -> None:
        """Deliver until cancelled or until the sink is disabled.

        Raises
        ------
        Fatal
            If the broker refuses the consumer for good.
        """
        await self._notifier.start()
        try:
            disabled = await self._consume()
            while not disabled:
                await asyncio.sleep(RECONNECT_S)
                disabled = await self._consume()
            self._on_disabled(self._notifier.name, self._stage.why_disabled)
        finally:
            await self._notifier.close()

    async def _consume(self) -> bool:
        """Consume with one consumer; true when the sink is disabled."""
        name = self._notifier.name
        self._consumer = consumer = self._make_consumer()
        try:
            await consumer.start()
            return await self._deliver_all(await self._resumed())
        except (CommitFailedError, IllegalStateError):
            # Another process took over: it repeats what could not be committed.
            log.info("sink moved to another process", sink=name)
            return False
        except KafkaError as error:
            if not error.retriable:
                raise Fatal(
                    f"the broker refused the consumer of sink {name} ({type(error).__name__})"
                ) from None
            log.warning("sink waits for the broker", sink=name, error=type(error).__name__)
            return False
        finally:
            await consumer.stop()

    def _make_consumer(self) -> AIOKafkaConsumer:
        options = {
            **aiokafka_options(self._kafka),
            "group_id": self._group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
            "session_timeout_ms": int(self._kafka.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(self._kafka.heartbeat_interval_s * 1000),
        }
        return AIOKafkaConsumer(ALERTS, **options)

    async def _resumed(self) -> Progress:
        """Wait for the first alerts, and learn how far the sink was when they come."""
        self._waiting.clear()
        self._quiet.clear()
        self._quiet_from = None
        self._not_before_ms = 0
        while not self._waiting:
            await self._fetch(POLL_MS)
        await self._forget_history()
        progress = await asyncio.to_thread(read_progress, self._kafka, self._group)
        self._limiter.due_s = max(self._limiter.due_s, progress.due_s)
        if progress.quiet_from is not None:
            await self._hold_again(progress.quiet_from)
        return progress

    async def _forget_history(self) -> None:
        """Tell a new sink what goes on, not what happened in the last month."""
        if await self._consumer.committed(self._partition) is None:
            self._not_before_ms = int((time.time() - NEW_SINK_HISTORY_S) * 1000)

    async def _hold_again(self, quiet_from: int) -> None:
        """Read again what quiet hours held back before the committed offset."""
        committed = self._waiting[0].offset
        self._waiting.clear()
        self._consumer.seek(self._partition, quiet_from)
        while not self._waiting or self._waiting[-1].offset < committed:
            await self._fetch(POLL_MS)
        self._quiet_from = quiet_from
        # Held by hours that the settings may no longer have.
        hours = self._sink.quiet_hours or QuietHours(begins="00:00", ends="00:00")
        while self._waiting and self._waiting[0].offset < committed:
            alert = self._waiting.popleft().alert
            if alert is None or withheld(alert, self._sink) is not None:
                continue
            if may_wait(alert, hours):
                self._quiet.append(alert)

    async def _deliver_all(self, progress: Progress) -> bool:
        """Deliver what comes; true when the sink is disabled."""
        if progress.digest_end is not None and not await self._repeat(progress.digest_end):
            return True
        while True:
            if self._quiet and not self._is_quiet() and not await self._tell_quiet():
                return True
            if not self._waiting:
                await self._fetch(POLL_MS)
            elif not await self._deliver_next():
                return True

    async def _repeat(self, end: int) -> bool:
        """Send the digest that was announced again: the same alerts, so the same id."""
        while not self._waiting or self._waiting[-1].offset < end - 1:
            await self._fetch(POLL_MS)
        return await self._send(self._taken(end))

    async def _deliver_next(self) -> bool:
        """Deliver the next alert, or a digest of those that wait; false if disabled."""
        offset = self._waiting[0].offset
        if self._passes_over(self._waiting[0]):
            self._waiting.popleft()
            self._position = offset + 1
            if not self._waiting:
                await self._commit()
            return True
        wait_s = self._limiter.wait_s(time.time())
        if not wait_s:
            return await self._send(self._taken(offset + 1))
        await asyncio.sleep(wait_s)
        await self._fetch(0)
        taken = self._taken(self._waiting[-1].offset + 1, MAX_HELD)
        if len(taken) > 1:
            metrics.WITHHELD.labels(self._notifier.name, "rate_limit").inc(len(taken))
            await self._commit(offset=offset, digest_end=self._position)
        return await self._send(taken)

    def _passes_over(self, waiting: _Waiting) -> bool:
        """Tell whether the sink is not told of an alert, or not now."""
        alert = waiting.alert
        if alert is None:
            return True
        reason = withheld(alert, self._sink)
        if 0 < waiting.sent_ms < self._not_before_ms:
            reason = "before_start"
        elif alert.state == "heartbeat" and _is_stale(waiting.sent_ms):
            reason = "heartbeat"
        if reason is None and is_quiet(alert, self._sink.quiet_hours, _now()):
            reason = "quiet_hours"
            self._hold(alert)
        if reason is not None:
            metrics.WITHHELD.labels(self._notifier.name, reason).inc()
        return reason is not None

    def _hold(self, alert: Alert) -> None:
        if self._quiet_from is None:
            self._quiet_from = self._waiting[0].offset
        self._quiet.append(alert)

    def _taken(self, end: int, limit: int | None = None) -> list[Alert]:
        """Take the alerts before ``end`` off the queue, those that the sink is told of."""
        taken: list[Alert] = []
        while self._waiting and self._waiting[0].offset < end:
            if limit is not None and len(taken) >= limit:
                break
            waiting = self._waiting[0]
            if waiting.alert is not None and not self._passes_over(waiting):
                taken.append(waiting.alert)
            self._waiting.popleft()
            self._position = waiting.offset + 1
        return taken

    async def _send(self, alerts: list[Alert]) -> bool:
        """Deliver one message and commit; false if the sink is disabled."""
        if alerts:
            self._limiter.take(time.time())
            if len(alerts) > 1:
                metrics.DIGESTS.labels(self._notifier.name).inc()
            message = alerts[0] if len(alerts) == 1 else digest_of(alerts)
            if await self._stage.deliver(message) is Result.DISABLED:
                return False
        await self._commit()
        return True

    async def _tell_quiet(self) -> bool:
        """Tell what quiet hours held back, in as few messages as it fits."""
        while self._quiet:
            await asyncio.sleep(self._limiter.wait_s(time.time()))
            part = self._quiet[:MAX_HELD]
            self._limiter.take(time.time())
            message = part[0] if len(part) == 1 else digest_of(part)
            if await self._stage.deliver(message) is Result.DISABLED:
                return False
            del self._quiet[: len(part)]
        self._quiet_from = None
        await self._commit()
        return True

    def _is_quiet(self) -> bool:
        return quiet_now(self._sink.quiet_hours, _now()) and len(self._quiet) < MAX_QUIET

    async def _fetch(self, timeout_ms: int) -> None:
        batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=POLL_RECORDS)
        for partition, records in batches.items():
            self._partition = partition
            for record in records:
                alert = self._decode(record.value, record.offset)
                self._waiting.append(_Waiting(record.offset, record.timestamp or 0, alert))

    async def _commit(self, offset: int | None = None, digest_end: int | None = None) -> None:
        progress = Progress(
            due_s=self._limiter.due_s, digest_end=digest_end, quiet_from=self._quiet_from
        )
        position = self._position if offset is None else offset
        await self._consumer.commit({self._partition: OffsetAndMetadata(position, progress.text())})

    def _decode(self, value: bytes | None, offset: int) -> Alert | None:
        try:
            return _decoder.decode(value or b"")
        except msgspec.DecodeError:
            # `index` reads the same record and dead-letters it.
            log.warning("not an alert, skipped", topic=ALERTS, offset=offset)
            return None


def _is_stale(sent_ms: int) -> bool:
    """Tell whether a sign of life is too old to mean anything."""
    return 0 < sent_ms < (time.time() - MAX_HEARTBEAT_AGE_S) * 1000


def _now() -> datetime:
    return datetime.now(UTC)
