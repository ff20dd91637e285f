"""A whole watch of real processes on a broker of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import psutil
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import KafkaSettings, Settings
from streams.admin import apply_topics
from streams.broker import ensure_running, stop
from streams.topics import FINDINGS
from tests.integration.hook import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.watch.traffic import Model

ROLES = ("ingest", "detect", "respond", "index")
#: Both runs must give a client the same pseudonym.
PSEUDONYM_KEY = "a key of thirty-two bytes or more, for tests"
WEBHOOK_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[tuple[int, list[str]]]:
    """Yield the port of a webhook endpoint, and the ids of what it got."""
    ids: list[str] = []

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        ids.append(request.headers["webhook-id"])
        return web.Response(status=204)

    async with listening({"/hook": accept}) as port:
        yield port, ids


class Watch:
    """``vedette up`` as a child process, with its own broker and home."""

    def __init__(self, home: Path, port: int, profiles: Path, webhook_port: int) -> None:
        self.settings = Settings(
            home=home, kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
        )
        ensure_running(self.settings)
        apply_topics(self.settings)
        hook = {
            "name": "receiver",
            "url": f"http://127.0.0.1:{webhook_port}/hook",
            "secret": WEBHOOK_SECRET,
            "allow_private": True,
        }
        environment = {
            **os.environ,
            "VEDETTE_HOME": str(home),
            "VEDETTE_PROFILES_DIR": str(profiles),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
            "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
            "VEDETTE_DETECT__SNAPSHOT_INTERVAL_S": "1",
            "VEDETTE_PSEUDONYM_KEY": PSEUDONYM_KEY,
            "VEDETTE_RESPOND__WEBHOOKS": msgspec.json.encode([hook]).decode(),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", "up", *ROLES, "--no-broker"], env=environment
        )

    def kill(self, role: str) -> bool:
        """Kill -9 one role; False if it is not up just now."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.cmdline()[-2:] == ["run", role]:
                    child.send_signal(signal.SIGKILL)
                    return True
            except psutil.Error:
                continue
        return False

    def close(self) -> int:
        """Stop the roles, then the broker; return the exit code of ``vedette up``."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            stop(self.settings)

    def audited(self) -> list[str]:
        """Return the ids of all interactions in the audit trail."""
        if not self.settings.audit_database.exists():
            return []
        with sqlite3.connect(f"file:{self.settings.audit_database}?mode=ro", uri=True) as database:
            try:
                rows = database.execute("SELECT event_id FROM documents WHERE kind = 'event'")
                return [row[0] for row in rows]
            except sqlite3.OperationalError:
                return []  # the file is there a moment before its tables

    async def findings(self) -> dict[str, bytes]:
        """Return the latest value of every finding id on the topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await consumer.start()
        try:
            partition = TopicPartition(FINDINGS, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            found = {}
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        found[msgspec.json.decode(record.value)["id"]] = record.value
            return found
        finally:
            await consumer.stop()


def calibrated(model: Model, directory: Path) -> Path:
    """Calibrate the model with the real command; return the directory of profiles."""
    model.save_reference(directory / "reference.npz")
    subprocess.run(
        [
            *(sys.executable, "-m", "streams.cli.main", "calibrate", "digits"),
            *(directory / "reference.npz", "--out", directory / "profiles"),
        ],
        env={**os.environ, "VEDETTE_HOME": str(directory)},
        check=True,
    )
    return directory / "profiles"


async def until(condition: object, *, within_s: float, what: str) -> None:
    """Wait until ``condition()`` is true."""
    deadline_s = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline_s:
            message = f"after {within_s:.0f} s still not: {what}"
            raise AssertionError(message)
        await asyncio.sleep(0.5)
