"""A role as a child process that is killed and started again, and what the tests send it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[2]


class RoleProcess:
    """A role in a child process."""

    def __init__(self, role: str, environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "tests.integration.worker", role]
        self._environment = {**os.environ, **environment}
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT, env=self._environment)

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait(10)

    async def kill_again_and_again(
        self, *, times: int, seed: int, alive_s: tuple[float, float] = (8.0, 10.0)
    ) -> None:
        """Kill and start again at random moments.

        A group takes its session timeout, 6 s, to give a killed member's partitions away.
        """
        moments = random.Random(seed)
        for _ in range(times):
            await asyncio.sleep(moments.uniform(*alive_s))
            assert self._process.poll() is None, "the role stopped by itself"
            self.kill()
            self._process = self._start()

    async def until(self, done: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Wait until the role has done its work."""
        deadline_s = time.monotonic() + within_s
        while not done():
            assert self._process.poll() is None, "the role stopped by itself"
            assert time.monotonic() < deadline_s, "the role did not finish its work"
            await asyncio.sleep(0.2)


@contextlib.contextmanager
def role_process(role: str, environment: dict[str, str]) -> Iterator[RoleProcess]:
    """Run a role; it is killed in the end."""
    process = RoleProcess(role, environment)
    try:
        yield process
    finally:
        process.kill()


async def produce(
    broker: str, topic: str, values: Iterable[bytes], *, key: bytes = b"k", pause_s: float = 0.0
) -> None:
    """Send values to a topic, with a pause between them."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=key)
            await asyncio.sleep(pause_s)
    finally:
        await producer.stop()
