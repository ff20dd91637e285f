"""Events as a gateway would post them: one complete CloudEvent a request, tensors as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from benchmarks.pipeline.model import CLASSES, SIDE
from benchmarks.pipeline.plan import MODEL
from streams.partition import partition_of
from streams.producer import Producer
from streams.topics import EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.pipeline.model import DigitsModel
    from config.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TELL_EVERY = 1000
_FIXED_HEADERS = [
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_type", b"io.vedette.inference.v1"),
    ("ce_source", b"benchmark/gateway"),
    ("ce_model", MODEL.encode()),
    ("ce_status", b"200"),
    ("ce_latencyus", b"1850"),
]


class Event(NamedTuple):
    """What is posted."""

    number: int
    time_us: int
    client: str
    body: bytes


def bodies(model: DigitsModel, pictures: NDArray[np.uint8]) -> list[bytes]:
    """Return the JSON of a request with its response, one a picture."""
    return [
        _body(picture, answer)
        for picture, answer in zip(pictures, model.scores(pictures), strict=True)
    ]


def _body(picture: NDArray[np.uint8], scores: NDArray[np.float32]) -> bytes:
    tensor = {
        "name": "x",
        "shape": [1, SIDE, SIDE],
        "datatype": "UINT8",
        "data": picture.reshape(-1).tolist(),
    }
    answer = {
        "name": "probabilities",
        "shape": [1, CLASSES],
        "datatype": "FP32",
        "data": [round(float(score), 6) for score in scores],
    }
    return msgspec.json.encode(
        {"request": {"inputs": [tensor]}, "response": {"model_name": MODEL, "outputs": [answer]}}
    )


class Poster:
    """Posts events to the source topic, each client to its own partition."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.kafka)
        self._partitions = settings.partitions
        self._partition_of: dict[str, int] = {}

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Deliver what is pending and disconnect."""
        await self._producer.stop()

    async def post(self, event: Event) -> None:
        """Queue one event."""
        key = event.client.encode()
        partition = self._partition_of.get(event.client)
        if partition is None:
            partition = self._partition_of[event.client] = partition_of(key, self._partitions)
        time = (_EPOCH + timedelta(microseconds=event.time_us)).isoformat()
        headers = [
            *_FIXED_HEADERS,
            ("ce_id", b"%d-%d" % (event.time_us, event.number)),
            ("ce_time", time.encode()),
            ("ce_client", key),
        ]
        await self._producer.send(EVENTS, event.body, key=key, partition=partition, headers=headers)


class Benign(NamedTuple):
    """Ordinary traffic: clients that call at random, with pictures from a pool."""

    pool: list[bytes]
    clients: tuple[str, ...]
    seed: int

    def choose(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which client and which picture, for each of ``count`` events."""
        rng = np.random.default_rng(self.seed)
        return rng.integers(0, len(self.clients), count), rng.integers(0, len(self.pool), count)


def client_names(count: int) -> tuple[str, ...]:
    """Return the names of ordinary clients."""
    return tuple(f"client-{number}" for number in range(count))


async def fill(
    settings: Settings,
    benign: Benign,
    count: int,
    *,
    start_us: int,
    rate: float,
    progress: Callable[[int], None],
) -> None:
    """Put ``count`` events into the source topic as fast as the broker takes them."""
    who, what = benign.choose(count)
    poster = Poster(settings)
    await poster.start()
    try:
        for number, (client, picture) in enumerate(zip(who.tolist(), what.tolist(), strict=True)):
            time_us = start_us + int(number * 1e6 / rate)
            await poster.post(Event(number, time_us, benign.clients[client], benign.pool[picture]))
            if number % _TELL_EVERY == 0:
                progress(number)
    finally:
        await poster.stop()
    progress(count)
