"""Brings checkpoints to a webhook elsewhere: signed, at least once, never waited for.

A checkpoint covers everything before it, so of each log only the newest is owed: an outage of
the witness costs neither memory nor time, only checkpoints in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from streams.ledger.metrics import CHECKPOINTS_SENT
from streams.notify.base import Delivered, Gone, Permanent
from streams.notify.http import HttpSender
from streams.notify.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.settings import CheckpointWebhook
    from streams.ledger.log import Segment
    from streams.notify.base import Outcome

log = structlog.get_logger(__name__)

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 300.0
#: Of the same form as the types of alerts, see Standard Webhooks.
EVENT_TYPE = "vedette.checkpoint.signed"


class Witness:
    """Posts the newest checkpoint of each log until it is taken.

    Parameters
    ----------
    settings
        The endpoint. Its URL and secret never appear in logs or errors.
    clock
        Gives unix time; replaced by tests.

    Raises
    ------
    ConfigError
        If the URL is no https URL of a public host (``allow_private`` lifts both), or the secret
        has the wrong form.
    """

    def __init__(
        self, settings: CheckpointWebhook, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._signer = Signer(settings.secret.get_secret_value(), endpoint="checkpoints")
        self._http = HttpSender(
            "webhook checkpoints",
            settings.url,
            timeout_s=settings.timeout_s,
            allow_private=settings.allow_private,
        )
        self._clock = clock
        self._owed: dict[str, Segment] = {}
        self._news = asyncio.Event()
        #: Everything that is owed was tried at least once.
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def owe(self, segments: Sequence[Segment]) -> None:
        """Take over segments; returns at once."""
        for segment in segments:
            self._owed[segment.origin] = segment
        self._tried.clear()
        self._news.set()
        if self._task is None and segments:
            self._task = asyncio.create_task(self._keep_posting(), name="witness")

    async def close(self, timeout_s: float) -> None:
        """Give what is owed a last moment, then disconnect: the next start owes it again."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._tried.wait()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._http.close()

    async def _keep_posting(self) -> None:
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            failed = 0
            for segment in list(self._owed.values()):
                failed += not await self._post(segment)
            failures = failures + 1 if failed else 0
            if not self._news.is_set():
                self._tried.set()
            if failed:
                await asyncio.sleep(min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(failures - 1, 16)))
                self._news.set()

    async def _post(self, segment: Segment) -> bool:
        """Post once; say whether it is settled."""
        body, identity = _body(segment)
        headers = self._signer.headers(identity, int(self._clock()), body)
        outcome = await self._http.post(body, headers)
        delivered = isinstance(outcome, Delivered)
        CHECKPOINTS_SENT.labels(to="webhook", result="delivered" if delivered else "failed").inc()
        self._tell(outcome)
        if not delivered:
            return False
        if self._owed.get(segment.origin) is segment:
            del self._owed[segment.origin]
        return True

    def _tell(self, outcome: Outcome) -> None:
        if isinstance(outcome, Delivered):
            if self._failing:
                log.info("the webhook takes checkpoints again")
            self._failing = False
        elif not self._failing:
            self._failing = True
            log.error(
                "checkpoints did not reach their destination",
                to="webhook",
                error=outcome.reason,
                permanent=isinstance(outcome, Permanent | Gone),
            )


def _body(segment: Segment) -> tuple[bytes, str]:
    """Return body and id: the same ones each time, so that a receiver knows a repetition."""
    time_text = segment.note.partition("\ntime ")[2].partition("\n")[0]
    identity = "ckp_" + hashlib.sha256(segment.note.encode()).hexdigest()[:32]
    message = {"type": EVENT_TYPE, "timestamp": time_text, "data": segment}
    return msgspec.json.encode(message), identity
