"""The obvious alternative: a stock Faust agent, one event at a time, River objects a client.

It is given every advantage that costs nothing: the models of all clients exist before the
clock starts, the trees see twelve features instead of 784 pixels, and sends are not awaited.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import faust
import numpy as np
from river.anomaly import HalfSpaceTrees
from river.drift import ADWIN

from benchmarks.pipeline.child import Message, tell
from benchmarks.pipeline.events import client_names
from config.settings import load_settings
from streams.topics import EVENTS

if TYPE_CHECKING:
    from config.settings import Settings

OUTPUT = "benchmark.stock.audit"
#: Events seen before the clock starts.
WARM_EVENTS = 100
_TELL_EVERY = 50


class ClientState:
    """What River knows of one client."""

    def __init__(self) -> None:
        self.trees = HalfSpaceTrees(seed=1)
        self.drift = ADWIN()
        self.trees.learn_one(_features([0] * 784, [0.1] * 10))

    def observe(self, pixels: list[int], scores: list[float]) -> tuple[float, bool]:
        """Score, then learn."""
        features = _features(pixels, scores)
        anomaly = float(self.trees.score_one(features))
        self.trees.learn_one(features)
        self.drift.update(max(scores))
        return anomaly, bool(self.drift.drift_detected)


def _features(pixels: list[int], scores: list[float]) -> dict[str, float]:
    values = np.asarray(pixels) / 255.0
    features = {f"score_{number}": score for number, score in enumerate(scores)}
    features["mean"] = float(values.mean())
    features["spread"] = float(values.std())
    return features


def make_app(settings: Settings, clients: dict[str, ClientState], events: int) -> Any:
    """Return the app, as the first pages of Faust's documentation would have it."""
    app = faust.App(
        "benchmark-stock",
        broker=f"aiokafka://{settings.kafka.bootstrap_servers}",
        datadir=str(settings.home / "stock"),
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(EVENTS, value_type=bytes, value_serializer="raw")
    output = app.topic(OUTPUT, value_serializer="json", partitions=1, replicas=1)
    clock = Clock(events)

    async def watch(stream: Any) -> None:
        await output.maybe_declare()
        async for event in stream.events():
            document = json.loads(event.value)
            client = event.message.key.decode()
            pixels = document["request"]["inputs"][0]["data"]
            scores = document["response"]["outputs"][0]["data"]
            anomaly, drift = clients[client].observe(pixels, scores)
            record = {"client": client, "label": int(np.argmax(scores)), "anomaly": anomaly}
            await output.send(value={**record, "drift": drift, "offset": event.message.offset})
            clock.tick()

    app.agent(source)(watch)
    return app


class Clock:
    """Counts events and tells the CPU that they took."""

    def __init__(self, events: int) -> None:
        self._wanted = events + WARM_EVENTS
        self._seen = 0
        self._began_s = 0.0

    def tick(self) -> None:
        """Count one event."""
        self._seen += 1
        if self._seen == WARM_EVENTS:
            self._began_s = time.process_time()
        elif self._seen == self._wanted:
            used_s = time.process_time() - self._began_s
            tell(Message(1.0, {"stock_us": used_s / (self._wanted - WARM_EVENTS) * 1e6}))
            signal.raise_signal(signal.SIGTERM)
        elif self._seen % _TELL_EVERY == 0:
            tell(Message(self._seen / self._wanted))


def main(events: int, clients: int) -> None:
    """Build the models of all clients, then run the worker."""
    settings = load_settings()
    states = {name: ClientState() for name in client_names(clients)}
    app = make_app(settings, states, events)
    worker = faust.Worker(app, loglevel="error", quiet=True, redirect_stdouts=False)
    worker.spinner = None  # it writes to the output that `tell` writes to
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
