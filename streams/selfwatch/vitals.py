"""What every process tells of itself through Kafka: its clock, and what it had no room for.

Roles run on many hosts; their metrics are on loopback, where the watch cannot look. A record every
few seconds, on a topic that is kept for a day, is all it needs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from streams.producer import Producer
from streams.topics import VITALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import KafkaSettings

log = structlog.get_logger(__name__)

EVERY_S = 15.0
STOP_TIMEOUT_S = 2.0
#: What is told of as shed, and the series that count it.
SHED: Mapping[str, tuple[tuple[str, dict[str, str]], ...]] = {
    "incidents closed early": (("vedette_incidents_evicted_total", {}),),
    "interactions of models there was no room for": (("vedette_unscanned_total", {}),),
    "halves that no longer waited for the other": (
        ("vedette_joins_total", {"outcome": "evicted"}),
    ),
    "requests sent away": tuple(
        ("vedette_intake_requests_total", {"format": kind, "status": status})
        for kind in ("cloudevents", "litellm")
        for status in ("429", "503")
    ),
}


class Vital(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a process; ``shed`` counts from its start."""

    role: str
    host: str
    process: int
    at_s: float
    shed: dict[str, float] = {}

    @property
    def worker(self) -> str:
        """Name of the process."""
        return f"{self.role} on {self.host} ({self.process})"


def vital_of(role: str) -> Vital:
    """Return what there is to tell of this process now."""
    counted = {
        what: sum(REGISTRY.get_sample_value(name, labels) or 0.0 for name, labels in series)
        for what, series in SHED.items()
    }
    return Vital(
        role=role,
        host=socket.gethostname(),
        process=os.getpid(),
        at_s=time.time(),
        shed={what: count for what, count in counted.items() if count},
    )


async def report(role: str, kafka: KafkaSettings, every_s: float = EVERY_S) -> None:
    """Tell for ever; a broker that does not answer is tried again."""
    failing = False
    while True:
        producer = Producer(kafka)
        try:
            await producer.start()
            while True:
                value = msgspec.json.encode(vital_of(role))
                await (await producer.send(VITALS, value, key=role.encode()))
                failing = False
                await asyncio.sleep(every_s)
        except KafkaError as error:
            if not failing:
                failing = True
                log.warning("vitals cannot be written", error=type(error).__name__)
            await asyncio.sleep(every_s)
        finally:
            # What a broker that is gone will not take must not keep the process from ending.
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)
