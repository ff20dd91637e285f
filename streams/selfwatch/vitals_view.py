"""Hears what the processes tell of themselves, from now on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.kafka import aiokafka_options
from streams.selfwatch.vitals import Vital
from streams.topics import VITALS

if TYPE_CHECKING:
    from config.settings import KafkaSettings

log = structlog.get_logger(__name__)

POLL_MS = 1000
RECONNECT_S = 5.0
#: Processes beyond these are not watched: each restart has a new number.
MAX_WORKERS = 1000

_decoder = msgspec.json.Decoder(Vital)


class Heard(NamedTuple):
    """A statement, and when it was heard by this host's clock."""

    vital: Vital
    at_s: float


class VitalsView:
    """The last statement of every process.

    Parameters
    ----------
    kafka
        Where the broker is.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._heard: dict[str, Heard] = {}

    def take(self, value: bytes | None, at_s: float) -> None:
        """Take a record; what is none says nothing."""
        try:
            vital = _decoder.decode(value or b"")
        except msgspec.DecodeError:
            return
        self._heard.pop(vital.worker, None)
        self._heard[vital.worker] = Heard(vital, at_s)
        if len(self._heard) > MAX_WORKERS:
            del self._heard[next(iter(self._heard))]

    def heard(self) -> list[Heard]:
        """Return them all, the latest last."""
        return list(self._heard.values())

    async def run(self) -> None:
        """Follow for ever, through every failure of the broker."""
        while True:
            try:
                await self._follow()
            except KafkaError as error:
                log.warning("vitals cannot be followed", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            VITALS,
            **aiokafka_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        try:
            await consumer.start()
            while True:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        self.take(record.value, time.time())
        finally:
            await consumer.stop()
