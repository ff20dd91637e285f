"""Verdicts for a gateway in Python, with or without an event loop of its own.

The topic is followed in a thread; a look-up is a call that takes microseconds and never waits.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from config.errors import Transient
from streams.identity import load_epochs
from streams.verdicts.follow import Follower
from streams.verdicts.judgement import Judgement
from streams.verdicts.table import VerdictTable

if TYPE_CHECKING:
    from types import TracebackType

    from config.settings import Settings
    from streams.verdicts.table import Answer

WARM_TIMEOUT_S = 60.0


class VerdictClient:
    """Follows the verdicts while it is open.

    Parameters
    ----------
    settings
        Where the broker is, the pseudonyms' key, and how tenants fail.

    Examples
    --------
    A gateway's check, where ``load_settings`` is that of `config.settings`::

        with VerdictClient(load_settings()) as verdicts:
            answer = verdicts.of_name("customer-42")
            if answer.action == "block" and not answer.shadow:
                refuse()
    """

    def __init__(self, settings: Settings) -> None:
        self._table = VerdictTable(settings.verdicts.max_entries)
        self._follower = Follower(self._table, settings.kafka)
        self._judgement = Judgement(self._table, settings.verdicts, self._follower.age_s)
        self._pseudonyms = load_epochs(settings).of
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="verdicts", daemon=True)
        self._warm = threading.Event()

    def __enter__(self) -> VerdictClient:
        """Begin to follow; see `wait`."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop following."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def wait(self, timeout_s: float = WARM_TIMEOUT_S) -> None:
        """Wait until the table holds all verdicts; until then answers are those of a failure.

        Raises
        ------
        Transient
            If that takes too long.
        """
        if not self._warm.wait(timeout_s):
            raise Transient("the verdicts could not be read; is the broker running?")

    def of(self, client: str, tenant: str | None = None) -> Answer:
        """Return what to do with a client, by its pseudonym."""
        return self._judgement.of(client, tenant)

    def of_name(self, name: str, tenant: str | None = None) -> Answer:
        """Return what to do with a client, by the name that the gateway knows."""
        return self._judgement.of_any(self._pseudonyms("client", name), tenant)[1]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._follow())
        try:
            self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
        finally:
            self._loop.close()

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follower.run())
            await self._follower.warm.wait()
            self._warm.set()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
