"""No failure of a notifier tells its secret or address."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.notify.retry import RetryStage
from tests.contract.leaks import assert_no_leak
from tests.contract.notifiers import (
    SECRET,
    SECRETS,
    Receiver,
    serving,
)
from tests.unit.respond.samples import alert

FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"port": 1},
    "server error": {"status": 500},
    "gone": {"status": 410},
    "bad request": {"status": 400},
    "timeout": {"stall": True},
    "tls": {"scheme": "https"},
    "unresolvable": {"host": "no-such-host.invalid"},
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_no_failure_tells_the_secret_or_the_address(make, failure, caplog):
    told = FAILURES[failure]
    caplog.set_level(logging.DEBUG)

    async def sleep(seconds):
        await asyncio.sleep(0)

    stall = asyncio.Event() if told.get("stall") else None
    async with serving(Receiver(status=told.get("status", 200), stall=stall)) as receiver:
        options = {key: told[key] for key in ("scheme", "host") if key in told}
        notifier = make(told.get("port", receiver.port), timeout_s=0.1, **options)
        await notifier.start()
        with capture_logs() as logs:
            await RetryStage(notifier, (0.0,), sleep=sleep).deliver(alert())
            outcome = await notifier.notify(alert())
        await notifier.close()
    assert logs
    # aiohttp's own server logs the path of what it was asked; it is the other side here.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("aiohttp.")]
    assert_no_leak(SECRETS, [*logs, *ours, outcome, notifier])


def test_the_leak_assertion_itself_works():
    with pytest.raises(AssertionError, match="secret 0 leaked"):
        assert_no_leak(SECRETS, [f"cannot connect with {SECRET[:14]}"])
