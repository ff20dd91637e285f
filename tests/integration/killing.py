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
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def role_process(role: str, environment: dict[str, str]):
    """Run a role; yields a function that kills -9 the process and starts another."""
    running: list[subprocess.Popen[bytes]] = []

    def restart() -> None:
        for process in running:
            process.kill()
            process.wait(10)
        running.clear()
        command = [sys.executable, "-m", "tests.integration.pump", role]
        environ = {**os.environ, **environment}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environ))

    restart()
    try:
        yield restart
    finally:
        for process in running:
            process.kill()
            process.wait(10)


async def kill_until(
    restart: Callable[[], None],
    done: Callable[[], bool],
    *,
    kills: int,
    seed: int,
    alive_s: tuple[float, float] = (1.5, 4.0),
    within_s: float = 90.0,
) -> None:
    """Kill the role ``kills`` times at random moments, then wait until ``done``."""
    moments = random.Random(seed)
    for _ in range(kills):
        await asyncio.sleep(moments.uniform(*alive_s))
        restart()
    deadline_s = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline_s, "the role did not finish its work"
        await asyncio.sleep(0.2)


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
