"""A worker that copies a topic to a file, for the tests of the transport.

Run as ``python -m tests.integration.copying TOPIC OUTPUT [behaviour]``. Each record's value is one
line of OUTPUT, written and flushed before the chunk is acknowledged. Behaviours: ``held`` keeps
acknowledgements until `release`; ``poison`` fails on the value ``poison``; ``unauthorised``
makes the group coordinator report a fatal error.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.roles.base import Chunk, Partition


class Copying:
    """The smallest role that has a durable effect."""

    name = "copying"

    def __init__(self, topic: str, output: Path, behaviour: str) -> None:
        self.topics = (topic,)
        self._output = output.open("ab")
        self._behaviour = behaviour
        self._held: list[Chunk] = []

    async def start(self) -> None:
        pass

    async def assigned(self, partitions: set[Partition]) -> None:
        if self._behaviour == "unauthorised":
            from aiokafka.consumer.group_coordinator import GroupCoordinator
            from aiokafka.errors import GroupAuthorizationFailedError

            def refuse(_self: GroupCoordinator) -> None:
                raise GroupAuthorizationFailedError

            GroupCoordinator.check_errors = refuse

    async def process(self, chunk: Chunk) -> None:
        values = [record.value or b"" for record in chunk.records]
        if self._behaviour == "poison" and b"poison" in values:
            raise KeyError("the text of this error must not be logged")
        self._output.write(b"".join(value + b"\n" for value in values))
        self._output.flush()
        await asyncio.sleep(0.02)
        if self._behaviour == "held":
            self._held.append(chunk)
        else:
            chunk.ack()

    async def release(self, partitions: set[Partition]) -> None:
        held, self._held = self._held, []
        for chunk in reversed(held):
            chunk.ack()

    async def stop(self) -> None:
        self._output.close()


def main() -> None:
    from config.settings import load_settings
    from streams.runtime import run_role

    topic, output, *behaviour = sys.argv[1:]
    role = Copying(topic, Path(output), behaviour[0] if behaviour else "copy")
    sys.exit(run_role(role, load_settings()))


if __name__ == "__main__":
    main()
