"""The last act: a gateway that obeys the verdicts, and a person who takes one back."""

from __future__ import annotations

import asyncio
import contextlib
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
    from streams.demo.attacks.target import Images, Query, Scores
    from streams.demo.cast import Attacker
    from streams.verdicts.table import VerdictTable

    Ask = Callable[[str, Images], Awaitable[Scores]]

#: The attackers attack again for so long; one that is refused begins anew after a pause.
COME_BACK_S = 12.0
RETRY_S = 0.1
#: A throttled client may ask this often.
THROTTLE_S = 1.0
#: Verdicts begin at a random moment up to `RespondSettings.verdict_delay_s` after the finding.
PATIENCE_S = 30.0
COMMAND_TIMEOUT_S = 60.0
_POLL_S = 0.05
_ALLOWED = frozenset({"allow", "watch"})


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway did to one attacker that came back."""

    name: str
    action: str
    asked: int
    refused: int
    succeeded: bool


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
        """Say whether no attacker succeeded again and the ordinary client was let in again."""
        hand = self.by_hand
        return (
            all(attacker.refused and not attacker.succeeded for attacker in self.attackers)
            and hand.refused_after_s is not None
            and hand.allowed_after_s is not None
        )


class RefusedError(Exception):
    """The gateway did not pass a request on."""


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

    async def request(self, client: str, images: Images) -> Scores:
        """Pass a request on.

        Raises
        ------
        RefusedError
            If the client is held back: a program solves no challenge.
        """
        action = self.action(client)
        now_s = time.monotonic()
        throttled = now_s - self._passed_s.get(client, float("-inf")) < THROTTLE_S
        if action not in _ALLOWED and (action != "throttle" or throttled):
            raise RefusedError
        self._passed_s[client] = now_s
        return await self._ask(client, images)


class Visitor:
    """An attacker's way to the model through the gateway, counted.

    Parameters
    ----------
    gateway
        What stands before the model.
    client
        Who comes.
    """

    def __init__(self, gateway: Gateway, client: str) -> None:
        self._gateway = gateway
        self._client = client
        self.asked = self.refused = 0

    async def query(self, images: Images) -> Scores:
        """Ask as the attacks do.

        Raises
        ------
        RefusedError
            If the gateway refuses.
        """
        self.asked += 1
        try:
            return await self._gateway.request(self._client, images)
        except RefusedError:
            self.refused += 1
            raise


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
    cast: Callable[[Callable[[str], Query]], Sequence[Attacker]],
    ordinary: str,
    image: Images,
    say: Analyst,
    *,
    seconds: float = COME_BACK_S,
    patience_s: float = PATIENCE_S,
) -> LastAct:
    """Let the attackers attack again, and block and lift an ordinary client by hand.

    Parameters
    ----------
    cast
        Makes the attackers anew, from what gives the query function of a client.
    ordinary
        A client that did nothing wrong.
    image
        What it asks.
    seconds
        How long the attackers try.
    """
    visitors: dict[str, Visitor] = {}

    def way(client: str) -> Query:
        visitors[client] = Visitor(gateway, client)
        return visitors[client].query

    attackers = cast(way)
    deadline_s = time.monotonic() + patience_s
    for attacker in attackers:
        await _judged(gateway, attacker.client, deadline_s)
    actions = {attacker.client: gateway.action(attacker.client) for attacker in attackers}
    await asyncio.gather(*(_come_back(attacker, seconds) for attacker in attackers))
    refusals = tuple(
        Refusals(
            name=attacker.name,
            action=actions[attacker.client],
            asked=visitors[attacker.client].asked,
            refused=visitors[attacker.client].refused,
            succeeded=attacker.target.success is not None,
        )
        for attacker in attackers
    )
    return LastAct(attackers=refusals, by_hand=await _by_hand(gateway, ordinary, image, say))


async def _come_back(attacker: Attacker, seconds: float) -> None:
    """Attack again and again, as a program does that is refused."""
    ends_s = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not attacker.target.success:
                try:
                    await attacker.run(ends_s - time.monotonic())
                except* RefusedError:
                    pass
                await asyncio.sleep(RETRY_S)


async def _by_hand(gateway: Gateway, client: str, image: Images, say: Analyst) -> ByHand:
    async def waits_for(*, passes: bool) -> float | None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < COMMAND_TIMEOUT_S:
            try:
                await gateway.request(client, image)
                passed = True
            except RefusedError:
                passed = False
            if passed is passes:
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
