"""A broker that goes away while a topic is read is told; nothing waits for it for ever."""

from __future__ import annotations

import asyncio

import pytest

from config.errors import Transient
from streams.cli import topic_view


class Gone:
    """A consumer whose broker answers once and then no more."""

    def __init__(self, *_, **__):
        self.stopped = False

    async def start(self): ...

    def assignment(self):
        return {0}

    async def end_offsets(self, partitions):
        return dict.fromkeys(partitions, 1)

    async def seek_to_beginning(self, *_): ...

    async def position(self, _):
        await asyncio.Event().wait()

    async def stop(self):
        self.stopped = True


def test_a_broker_that_falls_silent_is_told(monkeypatch):
    consumer = Gone()
    monkeypatch.setattr(topic_view, "AIOKafkaConsumer", lambda *_, **__: consumer)
    monkeypatch.setattr(topic_view, "SILENT_S", 0.01)
    with pytest.raises(Transient, match="TimeoutError"):
        topic_view.read_topic("t", lambda *_: None)
    assert consumer.stopped
