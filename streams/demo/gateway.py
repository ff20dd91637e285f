"""The last act: a gateway that obeys the verdicts, and a person who takes one back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from config.errors import Fatal
from streams.demo.watch import environment
from streams.respond.times import iso

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from config.settings import Settings
    from streams.demo.attacks.target import Images, Scores
    from streams.verdicts.table import VerdictTable

    Ask = Callable[[str, Images], Awaitable[Scores]]

#: What each attacker asks once more, as fast as it can.
REQUESTS = 20
#: A throttled client may ask this often.
THROTTLE_S = 1.0
#: Verdicts begin at a random moment up to `RespondSettings.verdict_delay_s` after the finding.
PATIENCE_S = 30.0
COMMAND_TIMEOUT_S = 60.0
_POLL_S = 0.05
_ALLOWED = frozenset({"allow", "watch"})


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway did to one attacker."""

    name: str
    action: str
    asked: int
    refused: int


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """An ordinary client that a person blocks, and lets in again.

    ``refused_after_s`` and ``allowed_after_s`` count from the end of each command, until the
    gateway acts on it; None if it never did.
    """

    client: str
    refused_after_s: float | None
    allowed_after_s: float | None


class LastAct(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway that obeys would have done."""

    attackers: tuple[Refusals, ...]
    by_hand: ByHand

    @property
    def closed(self) -> bool:
        """Say whether every attacker was held back and the ordinary client was let in again."""
        hand = self.by_hand
        return (
            all(attacker.refused for attacker in self.attackers)
            and hand.refused_after_s is not None
            and hand.allowed_after_s is not None
        )


class Gateway:
    """Looks a client up before its request goes on.

    Parameters
    ----------
    table
        Current verdicts.
    pseudonym
        Of a client's name.
    ask
        Passes requests on to the model.
    """

    def __init__(self, table: VerdictTable, pseudonym: Callable[[str], str], ask: Ask) -> None:
        self._table = table
        self._pseudonym = pseudonym
        self._ask = ask
        self._passed_s: dict[str, float] = {}

    def action(self, client: str) -> str:
        """Return what is to be done with a client now."""
        return self._table.ask(self._pseudonym(client), iso(datetime.now(UTC))).action

    async def request(self, client: str, images: Images) -> bool:
        """Pass a request on, or refuse it: a program solves no challenge."""
        action = self.action(client)
        now_s = time.monotonic()
        throttled = now_s - self._passed_s.get(client, float("-inf")) < THROTTLE_S
        if action not in _ALLOWED and (action != "throttle" or throttled):
            return False
        self._passed_s[client] = now_s
        await self._ask(client, images)
        return True


class Analyst(Protocol):
    """A person at the command line."""

    async def __call__(self, *arguments: str) -> None:
        """Run ``vedette verdicts ...``."""


def analyst(settings: Settings) -> Analyst:
    """Return one who works in the demo's home.

    Raises
    ------
    Fatal
        From each call, if the command fails.
    """

    async def run(*arguments: str) -> None:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "streams.cli.main", "verdicts", *arguments],
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise Fatal(f"vedette verdicts {arguments[0]} failed: {done.stderr.strip()}")

    return run


async def last_act(
    gateway: Gateway,
    attackers: Sequence[tuple[str, str]],
    ordinary: str,
    images: Images,
    say: Analyst,
    *,
    patience_s: float = PATIENCE_S,
) -> LastAct:
    """Let the attackers come back, and block and lift an ordinary client by hand.

    Parameters
    ----------
    attackers
        Name and client of each.
    ordinary
        A client that did nothing wrong.
    images
        What is asked; at least `REQUESTS`.
    """
    deadline_s = time.monotonic() + patience_s
    for _, client in attackers:
        await _judged(gateway, client, deadline_s)
    refusals = [await _come_back(gateway, name, client, images) for name, client in attackers]
    return LastAct(
        attackers=tuple(refusals),
        by_hand=await _by_hand(gateway, ordinary, images[:1], say),
    )


async def _come_back(gateway: Gateway, name: str, client: str, images: Images) -> Refusals:
    action = gateway.action(client)
    passed = [await gateway.request(client, image[None]) for image in images[:REQUESTS]]
    return Refusals(name=name, action=action, asked=len(passed), refused=passed.count(False))


async def _by_hand(gateway: Gateway, client: str, image: Images, say: Analyst) -> ByHand:
    async def waits_for(*, passes: bool) -> float | None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < COMMAND_TIMEOUT_S:
            if await gateway.request(client, image) is passes:
                return round(time.monotonic() - began_s, 3)
            await asyncio.sleep(_POLL_S)
        return None

    await say("judge", client, "block", "--name", "--reason", "a mistake")
    refused_s = await waits_for(passes=False)
    await say("lift", client, "--name", "--reason", "it was a mistake")
    return ByHand(
        client=client, refused_after_s=refused_s, allowed_after_s=await waits_for(passes=True)
    )


async def _judged(gateway: Gateway, client: str, deadline_s: float) -> None:
    """Wait until a client's verdict has begun, or no longer."""
    while gateway.action(client) in _ALLOWED:
        if time.monotonic() > deadline_s:
            return
        await asyncio.sleep(_POLL_S)
