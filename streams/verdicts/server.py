"""Runs the lookup service with its adapters until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from streams.identity import load_pseudonyms
from streams.respond.times import iso
from streams.selfwatch.vitals import report
from streams.verdicts.envoy import EnvoyFile
from streams.verdicts.follow import Follower
from streams.verdicts.judgement import Judgement
from streams.verdicts.litellm import LiteLLMAdapter
from streams.verdicts.service import VerdictService
from streams.verdicts.table import VerdictTable

if TYPE_CHECKING:
    from config.settings import Settings

log = structlog.get_logger(__name__)

#: Verdicts begin and end by the clock: adapters look so often whether any has.
SYNC_EVERY_S = 0.5
RETRY_EVERY_S = 10.0


class VerdictServer:
    """The lookup service and the adapters, in one process.

    Parameters
    ----------
    settings
        All of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        pseudonym = load_pseudonyms(settings).of
        self.table = VerdictTable(settings.verdicts.max_entries)
        self.follower = Follower(self.table, settings.kafka)
        judgement = Judgement(self.table, settings.verdicts, self.follower.age_s)
        self._service = VerdictService(judgement, self.follower, pseudonym)
        self._envoy: EnvoyFile | None = None
        self._litellm: LiteLLMAdapter | None = None
        if settings.verdicts.envoy_file is not None:
            self._envoy = EnvoyFile(settings.verdicts.envoy_file, settings.verdicts.envoy_header)
        if settings.verdicts.litellm is not None:
            memory = settings.home / "state" / "litellm-blocked.json"
            self._litellm = LiteLLMAdapter(settings.verdicts.litellm, pseudonym, memory)
        self.port = 0

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Serve until cancelled."""
        runner = web.AppRunner(self._service.app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._settings.verdicts.host, self._settings.verdicts.port)
        await site.start()
        server: Any = site._server  # noqa: SLF001 - the only way to the port that was free
        self.port = server.sockets[0].getsockname()[1]
        log.info("verdicts are served", host=self._settings.verdicts.host, port=self.port)
        if started is not None:
            started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.follower.run())
                tasks.create_task(self._adapt())
                tasks.create_task(report("verdicts", self._settings.kafka))
        finally:
            await runner.cleanup()
            if self._litellm is not None:
                await self._litellm.close()

    async def _adapt(self) -> None:
        await self.follower.warm.wait()
        told: frozenset[str] | None = None
        while True:
            blocked = frozenset(self.table.holding("block", iso(datetime.now(UTC))))
            pause_s = SYNC_EVERY_S
            if blocked != told:
                if self._envoy is not None:
                    await asyncio.to_thread(self._envoy.write, blocked)
                if self._litellm is None or await self._litellm.sync(blocked):
                    told = blocked
                else:
                    pause_s = RETRY_EVERY_S
            await asyncio.sleep(pause_s)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            loop.add_signal_handler(number, task.cancel)
    try:
        await VerdictServer(settings).run()
    except asyncio.CancelledError:
        log.info("stopped")
