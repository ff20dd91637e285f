"""Runs the lookup service with its adapters until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from streams.identity import load_epochs
from streams.metrics.catalogue import BUILD
from streams.respond.times import iso
from streams.selfwatch.vitals import report
from streams.verdicts.envoy import EnvoyFile
from streams.verdicts.follow import Follower
from streams.verdicts.judgement import Judgement
from streams.verdicts.litellm import LiteLLMAdapter
from streams.verdicts.service import VerdictService
from streams.verdicts.table import VerdictTable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from config.settings import Settings

    Apply = Callable[[Collection[str]], Awaitable[bool]]

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
        pseudonyms = load_epochs(settings).of
        self.table = VerdictTable(settings.verdicts.max_entries)
        self.follower = Follower(self.table, settings.kafka)
        judgement = Judgement(self.table, settings.verdicts, self.follower.age_s)
        self._service = VerdictService(judgement, self.follower, pseudonyms)
        self._envoy: EnvoyFile | None = None
        self._litellm: LiteLLMAdapter | None = None
        if settings.verdicts.envoy_file is not None:
            self._envoy = EnvoyFile(settings.verdicts.envoy_file, settings.verdicts.envoy_header)
        if settings.verdicts.litellm is not None:
            memory = settings.home / "state" / "litellm-blocked.json"
            self._litellm = LiteLLMAdapter(settings.verdicts.litellm, pseudonyms, memory)
        self.port = 0

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Serve until cancelled."""
        runner = web.AppRunner(self._service.app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._settings.verdicts.host, self._settings.verdicts.port)
        await site.start()
        server: Any = site._server  # noqa: SLF001 - the only way to the port that was free
        self.port = server.sockets[0].getsockname()[1]
        BUILD.labels(version("vedette"), "verdicts").set(1)
        log.info("verdicts are served", host=self._settings.verdicts.host, port=self.port)
        if started is not None:
            started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.follower.run())
                for apply in self._adapters():
                    tasks.create_task(self._keep(apply))
                tasks.create_task(report("verdicts", self._settings.kafka))
        finally:
            await runner.cleanup()
            if self._litellm is not None:
                await self._litellm.close()

    def _adapters(self) -> Iterator[Apply]:
        """Yield what makes each gateway block exactly some clients; false if it has to retry."""
        if self._litellm is not None:
            yield self._litellm.sync
        if self._envoy is not None:
            envoy = self._envoy

            async def write(blocked: Collection[str]) -> bool:
                await asyncio.to_thread(envoy.write, blocked)
                return True

            yield write

    async def _keep(self, apply: Apply) -> None:
        """Keep one gateway current; another that fails does not hold it up."""
        await self.follower.warm.wait()
        told: frozenset[str] | None = None
        seen, until = -1, ""
        while True:
            now = iso(datetime.now(UTC))
            pause_s = SYNC_EVERY_S
            # A table of a million takes a second to walk: only when something is due.
            if self.table.block_changes != seen or now >= until:
                seen = self.table.block_changes
                clients, until = await asyncio.to_thread(self.table.blocked, now)
                if clients == told or await apply(clients):
                    told = clients
                else:
                    seen, pause_s = -1, RETRY_EVERY_S
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
