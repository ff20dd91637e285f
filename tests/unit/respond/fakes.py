"""A producer that remembers, and records as a consumer would bring them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from streams.roles.base import Chunk, Partition


@dataclass
class FakeRecord:
    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class FakeProducer:
    """Acknowledges at once; with ``hold`` only when `release` is called."""

    hold: bool = False
    sent: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    open: list[asyncio.Future[object]] = field(default_factory=list)
    stopped: bool = False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    async def send(self, topic, value, *, key=None, partition=None, headers=(), timestamp_ms=None):
        self.sent.append((topic, key, value))
        future = asyncio.get_running_loop().create_future()
        self.open.append(future)
        if not self.hold:
            future.set_result(None)
        return future

    def release(self) -> None:
        for future in self.open:
            if not future.done():
                future.set_result(None)

    def values(self, topic: str) -> list[bytes | None]:
        return [value for name, _, value in self.sent if name == topic]


@dataclass
class Acks:
    """Chunks of one topic, and which of them were acknowledged."""

    topic: str
    next: int = 0
    acked: list[int] = field(default_factory=list)

    def chunk(self, *values: bytes | None) -> Chunk:
        start = self.next
        self.next += len(values)
        records = [FakeRecord(self.topic, start + i, value) for i, value in enumerate(values)]
        return Chunk(Partition(self.topic, 0), records, lambda: self.acked.append(start))
