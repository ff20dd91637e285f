"""The one retry stage: schedule, jitter, Retry-After, counters and logs for every notifier."""

from __future__ import annotations

import asyncio
import random
import time
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from streams.notify import metrics
from streams.notify.base import Delivered, Gone, Permanent, RetryLater

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.notify.base import Notifier, Outcome
    from streams.respond.alerts import Alert

log = structlog.get_logger(__name__)

JITTER_RATIO = 0.2


class Result(Enum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    DISABLED = "disabled"


class RetryStage:
    """Delivers alerts to one notifier until it is done or hopeless.

    Parameters
    ----------
    notifier
        Where to.
    schedule_s
        Waits between attempts; after the last attempt the notifier is disabled.
    sleep, jitter
        Replaced by tests; ``jitter`` gives a number from 0 to 1.
    """

    def __init__(
        self,
        notifier: Notifier,
        schedule_s: Sequence[float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._notifier = notifier
        self._schedule_s = tuple(schedule_s)
        self._sleep = sleep
        self._jitter = jitter
        self.why_disabled = ""
        metrics.initialise(notifier.name)

    async def deliver(self, alert: Alert) -> Result:
        """Try until ``alert`` is delivered, given up, or the notifier has to be disabled."""
        if alert.subjects_total > len(alert.subject.ids):
            metrics.TRUNCATED.labels(self._notifier.name).inc()
        told: str | None = None
        for attempt in range(len(self._schedule_s) + 1):
            outcome = await self._attempt(alert)
            if isinstance(outcome, Delivered):
                return Result.DELIVERED
            if isinstance(outcome, Permanent):
                return self._give_up(alert, outcome)
            if isinstance(outcome, Gone):
                return self._disable(alert, "the receiver answered 410 Gone")
            if outcome.reason != told:
                told = outcome.reason
                self._tell(alert, outcome.reason)
            if attempt < len(self._schedule_s):
                await self._sleep(self._wait_s(attempt, outcome))
        return self._disable(alert, f"the retry schedule is exhausted, last failure: {told}")

    async def _attempt(self, alert: Alert) -> Outcome:
        name, start_s = self._notifier.name, time.perf_counter()
        outcome = await self._notifier.notify(alert)
        metrics.ATTEMPT_SECONDS.labels(name).observe(time.perf_counter() - start_s)
        if isinstance(outcome, Delivered):
            metrics.NOTIFICATIONS.labels(name).inc()
        else:
            metrics.FAILURES.labels(name, outcome.reason).inc()
        return outcome

    def _wait_s(self, attempt: int, outcome: RetryLater) -> float:
        """Return the scheduled wait, or what the receiver asked for if that is longer.

        A receiver cannot ask for more than the schedule's longest wait.
        """
        wait_s = self._schedule_s[attempt]
        if outcome.after_s is not None:
            wait_s = max(wait_s, min(outcome.after_s, max(self._schedule_s)))
        # Only ever later: Retry-After is a promise that it is in vain before.
        return wait_s * (1 + JITTER_RATIO * self._jitter())

    def _tell(self, alert: Alert, reason: str) -> None:
        """Log a failure; `deliver` stays quiet while the same one repeats."""
        log.warning(
            "sink does not take an alert, will retry",
            sink=self._notifier.name,
            alert=alert.id,
            reason=reason,
        )

    def _give_up(self, alert: Alert, outcome: Permanent) -> Result:
        metrics.GIVEN_UP.labels(self._notifier.name).inc()
        log.error(
            "sink will never take this alert, going on with the next",
            sink=self._notifier.name,
            alert=alert.id,
            reason=outcome.reason,
        )
        return Result.GIVEN_UP

    def _disable(self, alert: Alert, why: str) -> Result:
        metrics.DISABLED.labels(self._notifier.name).set(1)
        self.why_disabled = why
        log.critical(
            "sink disabled; repair it and restart the respond role, which goes on with this "
            "alert as long as the alerts topic keeps it",
            sink=self._notifier.name,
            alert=alert.id,
            reason=why,
        )
        return Result.DISABLED
