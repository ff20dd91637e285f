"""Runs one role in this process with a plain consumer: what a worker does, and nothing else.

``python -m tests.integration.pump respond`` is killed and started again by the tests.
"""

from __future__ import annotations

import asyncio
import importlib
import sys

from aiokafka import AIOKafkaConsumer

from config.settings import Settings, load_settings
from streams.kafka import aiokafka_options
from streams.roles.base import Chunk, Partition, Role

POLL_MS = 200


class Pump:
    """Feeds a role and commits, per partition, the prefix of chunks that it acknowledged."""

    def __init__(self, role: Role, settings: Settings) -> None:
        self._role = role
        self._consumer = AIOKafkaConsumer(
            *role.topics,
            **aiokafka_options(settings.kafka),
            group_id=f"vedette-{role.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        self._open: dict[object, list[list[object]]] = {}

    async def run(self) -> None:
        await self._role.start()
        await self._consumer.start()
        owned = set()
        while True:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=20)
            new = set(self._consumer.assignment()) - owned
            owned |= new
            await self._role.assigned({Partition(*item) for item in new})
            for partition, records in batches.items():
                await self._role.process(self._chunk(partition, records))
            await self._commit()

    def _chunk(self, partition, records) -> Chunk:
        entry = [records[-1].offset + 1, False]

        def ack() -> None:
            entry[1] = True

        self._open.setdefault(partition, []).append(entry)
        return Chunk(Partition(*partition), records, ack)

    async def _commit(self) -> None:
        offsets = {}
        for partition, entries in self._open.items():
            while entries and entries[0][1]:
                offsets[partition] = entries.pop(0)[0]
        if offsets:
            await self._consumer.commit(offsets)


async def main(role: str) -> None:
    settings = load_settings()
    module = importlib.import_module(f"streams.roles.{role}")
    await Pump(module.make(settings), settings).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
