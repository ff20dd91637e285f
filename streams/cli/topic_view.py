"""Reads a whole topic of one partition: what the analyst's commands show is what Kafka holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from config.errors import Transient
from config.settings import load_settings
from streams.kafka import aiokafka_options

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_MS = 500
#: aiokafka waits for ever for a broker that went away after the first answer.
SILENT_S = 20.0


def read_topic(topic: str, take: Callable[[bytes | None, bytes | None], None]) -> None:
    """Give every record's key and value to ``take``, from the first to the last there is now.

    Raises
    ------
    Transient
        If the broker cannot be reached.
    """
    try:
        asyncio.run(_read(topic, take))
    except (KafkaError, TimeoutError) as error:
        raise Transient(
            f"the broker cannot be read ({type(error).__name__}); see `vedette broker status`"
        ) from None


async def _read(topic: str, take: Callable[[bytes | None, bytes | None], None]) -> None:
    kafka = load_settings().kafka
    consumer = AIOKafkaConsumer(topic, **aiokafka_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(SILENT_S) as patience:
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    patience.reschedule(now() + SILENT_S)
                    for record in records:
                        take(record.key, record.value)
    finally:
        await consumer.stop()
