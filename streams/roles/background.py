"""Tasks that a role runs beside its chunks, and that must not die in silence."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import structlog

from streams.failure import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = structlog.get_logger(__name__)


def terminate(failure: BaseException) -> None:  # noqa: ARG001 - the signal carries no text
    """Ask the worker to stop as if the system had asked; `Background.check` then fails it."""
    signal.raise_signal(signal.SIGTERM)


class Background:
    """Runs tasks, and stops the worker when one of them fails.

    Parameters
    ----------
    on_fatal
        Called once, with the first failure. The role's methods call `check`, so the failure
        also leaves the role the next time the worker comes by, at the latest when it stops.
    """

    def __init__(self, on_fatal: Callable[[BaseException], None] = terminate) -> None:
        self._on_fatal = on_fatal
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[object, object, None], *, name: str) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def check(self) -> None:
        """Raise the failure of a task, if one has failed."""
        if self._failure is not None:
            raise self._failure

    async def finish(self, timeout_s: float) -> None:
        """Wait for all tasks, cancel those that take longer, then `check`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        await self.cancel()
        self.check()

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None and self._failure is None:
            self._failure = failure
            log.critical("a background task failed", task=task.get_name(), error=describe(failure))
            self._on_fatal(failure)
