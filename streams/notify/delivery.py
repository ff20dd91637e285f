"""The outbox of a notifier is Kafka itself: a consumer group of its own on the alerts topic.

The offset of an alert is committed when it was delivered or refused for ever, so a worker that
is killed at any time goes on with the first alert that may not have arrived. What arrives twice
carries the same id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from config.errors import Fatal
from streams.kafka import aiokafka_options
from streams.notify.retry import Result, RetryStage
from streams.respond.alerts import Alert
from streams.topics import ALERTS

if TYPE_CHECKING:
    from config.settings import KafkaSettings, RespondSettings
    from streams.notify.base import Notifier

log = structlog.get_logger(__name__)

#: A retry may wait for a day between two polls; the heartbeat still watches the process.
MAX_POLL_INTERVAL_MS = 2**31 - 1
POLL_MS = 1000
POLL_RECORDS = 64
RECONNECT_S = 2.0

_decoder = msgspec.json.Decoder(Alert)


class Delivery:
    """Brings the alerts topic to one notifier, in order.

    Parameters
    ----------
    notifier
        Where to. It is started and closed here.
    kafka, respond
        Sections of the settings.
    """

    def __init__(self, notifier: Notifier, kafka: KafkaSettings, respond: RespondSettings) -> None:
        self._notifier = notifier
        self._kafka = kafka
        self._stage = RetryStage(notifier, respond.retry_schedule_s)

    async def run(self) -> None:
        """Deliver until cancelled or until the notifier is disabled.

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
        finally:
            await self._notifier.close()

    async def _consume(self) -> bool:
        """Consume with one consumer; true when the notifier is disabled."""
        name = self._notifier.name
        consumer = self._consumer()
        try:
            await consumer.start()
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                for partition, records in batches.items():
                    if not await self._deliver_all(consumer, partition, records):
                        return True
        except (CommitFailedError, IllegalStateError):
            # Another process took over: it repeats what could not be committed.
            log.info("webhook moved to another process", webhook=name)
            return False
        except KafkaError as error:
            if not error.retriable:
                raise Fatal(
                    f"the broker refused the consumer of webhook {name} ({type(error).__name__})"
                ) from None
            log.warning("webhook waits for the broker", webhook=name, error=type(error).__name__)
            return False
        finally:
            await consumer.stop()

    def _consumer(self) -> AIOKafkaConsumer:
        options = {
            **aiokafka_options(self._kafka),
            "group_id": f"vedette-notify-{self._notifier.name}",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
            "session_timeout_ms": int(self._kafka.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(self._kafka.heartbeat_interval_s * 1000),
        }
        return AIOKafkaConsumer(ALERTS, **options)

    async def _deliver_all(self, consumer, partition, records) -> bool:  # type: ignore[no-untyped-def] # aiokafka is untyped
        for record in records:
            alert = self._decode(record.value, record.offset)
            if alert is not None and await self._stage.deliver(alert) is Result.DISABLED:
                return False
            await consumer.commit({partition: record.offset + 1})
        return True

    def _decode(self, value: bytes | None, offset: int) -> Alert | None:
        try:
            return _decoder.decode(value or b"")
        except msgspec.DecodeError:
            # `index` reads the same record and dead-letters it.
            log.warning("not an alert, skipped", topic=ALERTS, offset=offset)
            return None
