"""Runs the intake in a process of its own until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import signal
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError

from config.errors import ConfigError, Transient
from streams.intake.access import server_tls
from streams.intake.door import Door
from streams.intake.server import Intake
from streams.metrics.server import MetricsServer
from streams.producer import Producer
from streams.selfwatch.vitals import report

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import IntakeSettings, Settings

log = structlog.get_logger(__name__)

_SHUTDOWN_S = 15.0
_SIGN_OF_LIFE_S = 5.0


async def serve(settings: Settings) -> None:
    """Take events until SIGTERM or Ctrl-C; what is being read then is still answered.

    Raises
    ------
    ConfigError
        If token, certificate or address is wrong.
    Transient
        If the broker does not answer.
    """
    producer = Producer(settings.kafka)
    intake = Intake(settings, producer)
    tls = server_tls(settings.intake)
    try:
        await producer.start()
        await intake.open()
    except KafkaError as error:
        await producer.stop()
        raise Transient(
            f"the broker at {settings.kafka.bootstrap_servers} does not answer, or has no topic "
            f"{settings.intake.topic} ({type(error).__name__}); see `vedette topics apply`"
        ) from None
    # Bodies stay as they come: what a compressed one would become is bounded by nothing.
    runner = web.AppRunner(
        intake.application(),
        access_log=None,
        auto_decompress=False,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_S,
        keepalive_timeout=settings.intake.idle_timeout_s,
    )
    door: Door | None = None
    metrics = MetricsServer(settings.metrics, "intake", version("vedette"))
    try:
        await asyncio.to_thread(metrics.open)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - narrows for mypy: it is set up
        door = Door(settings.intake, runner.server, tls)
        port = _listen(door, settings.intake)
        log.info("intake.started", host=settings.intake.host, port=port, tls=tls is not None)
        vitals = asyncio.create_task(report("intake", settings.kafka))
        await _until_stopped(settings.home / "run" / "intake.alive")
        vitals.cancel()
        await asyncio.gather(vitals, return_exceptions=True)
    finally:
        if door is not None:
            await door.close()
        await runner.cleanup()
        await producer.stop()
        await asyncio.to_thread(metrics.close)
        log.info("intake.stopped", events=intake.counts["events"])


def _give_sign_of_life(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _listen(door: Door, settings: IntakeSettings) -> int:
    try:
        return door.open()
    except OSError as error:
        raise ConfigError(
            f"the intake cannot listen on {settings.host}:{settings.port} "
            f"({errno.errorcode.get(error.errno or 0, 'unknown')}); is another one running?"
        ) from None


async def _until_stopped(alive: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        _give_sign_of_life(alive)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SIGN_OF_LIFE_S)
