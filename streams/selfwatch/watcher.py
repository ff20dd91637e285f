"""Runs the watch over the watch beside respond, where findings are owned, so only once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from streams.metrics.catalogue import CONSUMER_LAG, HEARTBEAT, WATCH_FIRING
from streams.roles import ROLES
from streams.selfwatch.alerts import HEARTBEAT_KIND, watch_alert
from streams.selfwatch.broker_view import BrokerView
from streams.selfwatch.conditions import CONDITIONS
from streams.selfwatch.firing import Firing
from streams.selfwatch.judge import Judge, Trouble
from streams.selfwatch.vitals_view import VitalsView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from config.settings import Settings
    from streams.respond.alerts import Alert
    from streams.roles.background import Background

log = structlog.get_logger(__name__)


class Watcher:
    """Looks at the broker every few seconds and publishes what is wrong.

    Parameters
    ----------
    settings
        All of them.
    publish
        Writes an alert to its topic.
    watermark_s
        Gives the latest event time of a finding in unix seconds, 0 if there was none.
    """

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[Alert], Awaitable[None]],
        watermark_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._watermark_s = watermark_s
        self._view = BrokerView(settings.kafka, tuple(ROLES))
        self._vitals = VitalsView(settings.kafka)
        self._judge = Judge(settings.watch, settings.ingest.topics)
        self._firing = Firing()
        self._disabled: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failing = False
        for name in CONDITIONS:
            WATCH_FIRING.labels(name).set(0)

    def start(self, background: Background) -> None:
        """Begin, unless it has begun."""
        if not self._tasks:
            self._tasks = [
                background.spawn(self._watch(), name="watch"),
                background.spawn(self._vitals.run(), name="vitals"),
                background.spawn(self._beat(), name="heartbeat"),
            ]

    async def stop(self) -> None:
        """Stop and disconnect; harmless when not started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.to_thread(self._view.close)

    def sink_disabled(self, name: str, why: str) -> None:
        """Take note that a sink stopped: the others tell of it at the next look."""
        self._disabled[name] = why

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch.every_s)
            await self.look_once()

    async def look_once(self) -> None:
        """Look, judge and publish."""
        try:
            look = await asyncio.to_thread(self._view.look)
        except Exception as error:  # noqa: BLE001 - whatever the admin client raises, look again
            self._tell_failure(error)
            return
        self._failing = False
        for topic, lag in look.topic_lag.items():
            CONSUMER_LAG.labels(topic).set(lag)
        troubles = self._judge.judge(
            look, watermark_s=self._watermark_s(), heard=self._vitals.heard()
        )
        troubles += [Trouble("sink", name, why) for name, why in self._disabled.items()]
        for trouble, state, since_s in self._firing.update(troubles, look.at_s):
            await self._publish(watch_alert(trouble, state, look.at_s, since_s))
        for name in CONDITIONS:
            WATCH_FIRING.labels(name).set(self._firing.is_firing(name))

    async def _beat(self) -> None:
        while True:
            now_s = time.time()
            trouble = Trouble(HEARTBEAT_KIND, "respond", "Vedette reads and writes Kafka")
            await self._publish(watch_alert(trouble, "heartbeat", now_s, now_s))
            HEARTBEAT.set(now_s)
            await asyncio.sleep(self._settings.watch.heartbeat_s)

    def _tell_failure(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("the watch cannot look at the broker", error=type(error).__name__)
