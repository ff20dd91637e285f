"""Deterministic traffic: the same events, at the same offsets, in every run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from streams.partition import partition_of
from streams.topics import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BENIGN_CLIENTS = 40
NOISE_ATTACKERS = 4
FLOODERS = 2
CLASSES = 10


class Model:
    """A small digits classifier, trained the same way each time."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        self.images = np.rint(images * 15.9375).astype(np.uint8)
        self._net = MLPClassifier((32,), max_iter=60, random_state=0, early_stopping=True)
        self._net.fit(self.images / 255, labels)

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return class probabilities (n, 10)."""
        return np.asarray(self._net.predict_proba(images / 255), np.float32)

    def save_reference(self, path: Path) -> None:
        """Write what ``vedette calibrate`` reads."""
        images = self.images.reshape(-1, 8, 8)
        np.savez(path, x=images, scores=self.scores(self.images))


def events(model: Model, count: int, began: datetime) -> Iterator[tuple[str, bytes, list]]:
    """Yield (client, value, headers) of ``count`` complete events, the same for equal arguments."""
    rng = np.random.default_rng(7)
    names = [f"benign-{n}" for n in range(BENIGN_CLIENTS)]
    names += [f"noise-{n}" for n in range(NOISE_ATTACKERS)] + [
        f"flood-{n}" for n in range(FLOODERS)
    ]
    weights = np.ones(len(names))
    weights[-FLOODERS:] = 40.0
    who = rng.choice(len(names), count, p=weights / weights.sum())
    pictures = model.images[rng.integers(0, len(model.images), count)]
    noisy = np.isin(who, np.arange(BENIGN_CLIENTS, BENIGN_CLIENTS + NOISE_ATTACKERS))
    pictures[noisy] = rng.integers(0, 256, (int(noisy.sum()), 64), dtype=np.uint8)
    scores = model.scores(pictures)
    for number in range(count):
        time = began + timedelta(milliseconds=4 * number)
        yield (
            names[who[number]],
            _body(pictures[number], scores[number]),
            _headers(number, time, names[who[number]]),
        )


def _body(picture: NDArray[np.uint8], scores: NDArray[np.float32]) -> bytes:
    tensor = {"name": "x", "shape": [1, 8, 8], "datatype": "UINT8", "data": picture.tolist()}
    answer = {
        "name": "probabilities",
        "shape": [1, CLASSES],
        "datatype": "FP32",
        "data": [round(float(score), 6) for score in scores],
    }
    return msgspec.json.encode(
        {"request": {"inputs": [tensor]}, "response": {"model_name": "digits", "outputs": [answer]}}
    )


def _headers(number: int, time: datetime, client: str) -> list[tuple[str, bytes]]:
    attributes = {
        "specversion": "1.0",
        "id": f"event-{number}",
        "source": "tests/traffic",
        "type": "io.vedette.inference.v1",
        "time": time.astimezone(UTC).isoformat(),
        "client": client,
        "model": "digits",
        "status": "200",
    }
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return [("content-type", b"application/json"), *headers]


async def post(
    bootstrap: str, model: Model, count: int, began: datetime, *, partitions: int, over_s: float
) -> None:
    """Post the events in order over about ``over_s`` seconds."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="lz4"
    )
    await producer.start()
    try:
        for number, (client, value, headers) in enumerate(events(model, count, began)):
            await producer.send(
                EVENTS,
                value,
                key=client.encode(),
                partition=partition_of(client.encode(), partitions),
                headers=headers,
            )
            if number % 100 == 99:
                await asyncio.sleep(over_s * 100 / count)
        await producer.flush()
    finally:
        await producer.stop()
