"""The role of ingest beside a broker that stands for Kafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streams.frames import decode_frame
from streams.roles.base import Chunk, Partition
from streams.topics import HALVES, INTERACTIONS
from tests.unit.decode.records import (
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    record,
)
from tests.unit.fetches import fetched

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.roles import ingest

SOURCE = Partition("events", 2)


class Broker:
    """Stands for Kafka: keeps what was sent, and fails when told to."""

    def __init__(self, _settings: Any = None) -> None:
        self.sent: list[tuple[str, Any, dict[str, Any]]] = []
        self.failures: list[Exception] = []
        self.partitions = 4
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def partitions_of(self, topic: str) -> int:
        return self.partitions

    async def send(self, topic: str, value: Any, **options: Any) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._take(topic, value, options))

    async def _take(self, topic: str, value: Any, options: dict[str, Any]) -> None:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((topic, value, options))

    def interactions(self) -> list[dict[str, Any]]:
        """Rows as a reader sees them that drops positions it has passed."""
        rows: list[dict[str, Any]] = []
        passed: dict[int, tuple[int, int]] = {}
        for topic, value, options in self.sent:
            if topic != INTERACTIONS:
                continue
            for row in decode_frame(value).to_pylist():
                position = (row["source_offset"], row["source_index"])
                if position > passed.get(options["partition"], (-1, -1)):
                    passed[options["partition"]] = position
                    rows.append(row)
        return rows

    def dead(self) -> list[tuple[str, Any, str]]:
        return [
            (topic, value, dict(options["headers"])["vedette-error-class"].decode())
            for topic, value, options in self.sent
            if topic.endswith(".dlq")
        ]

    def halves(self) -> list[tuple[int, bytes]]:
        return [
            (options["partition"], value) for topic, value, options in self.sent if topic == HALVES
        ]


class Worker:
    """A role that owns `SOURCE`, and which offsets it has acknowledged."""

    def __init__(self, role: ingest.IngestRole) -> None:
        self.role = role
        self.acked: list[int] = []

    async def process(self, *records: Any) -> None:
        last = records[-1].offset
        chunk = fetched(records)
        await self.role.process(Chunk(SOURCE, chunk, lambda: self.acked.append(last)))

    async def settled(self) -> None:
        await self.role._owned[SOURCE].delivered()

    async def snapshotted(self) -> None:
        await self.role._snapshot(self.role._owned[SOURCE])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the role has no event to wait for
            await asyncio.sleep(0.01)


def whole(offset: int, **options: Any) -> Any:
    return record(EVENT, {"id": f"w{offset}"}, offset=offset, **options)


def request(offset: int, event_id: str, **options: Any) -> Any:
    return record(REQUEST, {"type": REQUEST_TYPE, "id": event_id}, offset=offset, **options)


def response(offset: int, event_id: str, **options: Any) -> Any:
    return record(RESPONSE, {"type": RESPONSE_TYPE, "id": event_id}, offset=offset, **options)
