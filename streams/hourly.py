"""Work that a role does at its start and every hour after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from config.errors import VedetteError
from streams.failure import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = structlog.get_logger(__name__)

EVERY_S = 3600.0


class Hourly:
    """Calls a function again and again; what fails is told and done an hour later.

    Parameters
    ----------
    work
        What is to be done.
    name
        What that is, for the log.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], *, name: str) -> None:
        self._work = work
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._keep_working(), name=self._name)

    async def stop(self) -> None:
        """End; harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_working(self) -> None:
        while True:
            try:
                await self._work()
            except (VedetteError, OSError) as error:
                self._tell(error)
            await asyncio.sleep(EVERY_S)

    def _tell(self, error: Exception) -> None:
        log.error("work failed and is done again later", work=self._name, error=describe(error))
