"""Keeps a table of verdicts current: reads the compacted topic from its start, then on."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.kafka import aiokafka_options
from streams.metrics.catalogue import VERDICT_ENTRIES
from streams.topics import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.settings import KafkaSettings
    from streams.verdicts.table import VerdictTable

log = structlog.get_logger(__name__)

POLL_MS = 200
WARM_POLL_RECORDS = 20_000
FETCH_MAX_BYTES = 16 << 20
RECONNECT_S = 2.0


class Follower:
    """Follows the verdicts for ever, through every failure of the broker.

    Parameters
    ----------
    table
        What to keep current.
    kafka
        Where the broker is.
    on_change
        Told the client of each change after the table is warm.

    Attributes
    ----------
    warm
        Set once the table holds what the topic held at the start.
    heard_s
        By the monotonic clock, when the broker last answered; tells how stale the table may be.
    """

    def __init__(
        self,
        table: VerdictTable,
        kafka: KafkaSettings,
        on_change: Callable[[str], None] = lambda _client: None,
    ) -> None:
        self._table = table
        self._kafka = kafka
        self._on_change = on_change
        self.warm = asyncio.Event()
        self.heard_s = float("-inf")
        self._failing = False

    def age_s(self) -> float:
        """Return for how long the broker has not been heard."""
        return time.monotonic() - self.heard_s

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except KafkaError as error:
                if not self._failing:
                    self._failing = True
                    log.warning("verdicts cannot be followed", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            VERDICTS,
            **aiokafka_options(self._kafka),
            enable_auto_commit=False,
            fetch_max_bytes=FETCH_MAX_BYTES,
            max_partition_fetch_bytes=FETCH_MAX_BYTES,
        )
        try:
            await consumer.start()
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            with _uncollected():
                while not self.warm.is_set():
                    await self._poll(consumer)
                    if all([await consumer.position(tp) >= end for tp, end in ends.items()]):
                        self._become_warm()
            while True:
                await self._poll(consumer)
                # An empty poll looks the same whether nothing is new or nobody answers.
                await consumer.end_offsets(partitions)
                self.heard_s = time.monotonic()
                self._failing = False
        finally:
            await consumer.stop()

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=WARM_POLL_RECORDS)
        take, warm = self._table.take, self.warm.is_set()
        for records in batches.values():
            for record in records:
                if record.key is not None and take(record.key, record.value) and warm:
                    self._on_change(record.key.decode(errors="replace"))
        VERDICT_ENTRIES.set(len(self._table))

    def _become_warm(self) -> None:
        self.heard_s = time.monotonic()
        self.warm.set()
        log.info("verdicts loaded", clients=len(self._table))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold the garbage collector back while a million long-lived entries are made.

    It would walk them again and again and find nothing; afterwards they are frozen.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.collect()
        gc.freeze()
