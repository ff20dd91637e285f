"""A wronged client: blocked by force, then let in again by one command of an analyst."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from config.errors import Fatal
from streams.demo.watch import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from streams.demo.gateway import Gateway

TIMEOUT_S = 30.0
POLL_S = 0.02


class Lifted(msgspec.Struct, frozen=True, kw_only=True):
    """How long commands took to be obeyed, from when they had returned; ``client`` by name."""

    client: str
    command: str
    blocked_after_s: float
    lifted_after_s: float


async def prove_lift(settings: Settings, gateway: Gateway, client: str) -> Lifted:
    """Block an ordinary client by hand, wait until it is refused, and lift that.

    Raises
    ------
    Fatal
        If a command fails, or the gateway does not obey.
    """
    await _vedette(settings, "judge", client, "block", "--name", "--reason", "forced by the demo")
    blocked_s = await _until(lambda: not gateway.admits(client), f"{client} blocked")
    lift = ("lift", client, "--name", "--reason", "wronged")
    await _vedette(settings, *lift)
    lifted_s = await _until(lambda: gateway.admits(client), f"{client} let in")
    return Lifted(
        client=client,
        command=f"vedette verdicts {' '.join(lift)}",
        blocked_after_s=blocked_s,
        lifted_after_s=lifted_s,
    )


async def _vedette(settings: Settings, *arguments: str) -> None:
    command = [sys.executable, "-m", "streams.cli.main", "verdicts", *arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment(settings),
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise Fatal(f"`vedette verdicts {arguments[0]}` failed: {done.stderr.decode()[-300:]}")


async def _until(condition: Callable[[], bool], what: str) -> float:
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > TIMEOUT_S:
            raise Fatal(f"after {TIMEOUT_S:.0f} s still not {what}")
        await asyncio.sleep(POLL_S)
    return round(time.monotonic() - started_s, 3)
