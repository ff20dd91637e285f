"""A gateway before the demo's model: it asks the table of verdicts, as one in Python would."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from config.errors import VedetteError
from streams.identity import load_pseudonyms
from streams.notify.limiter import Limiter
from streams.verdicts.follow import Follower
from streams.verdicts.judgement import Judgement
from streams.verdicts.table import VerdictTable

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.demo.attacks.target import Images, Scores
    from streams.demo.transport import KafkaModel

WARM_TIMEOUT_S = 30.0
#: What ``throttle`` leaves to a client.
THROTTLED_PER_MINUTE, THROTTLED_BURST = 120.0, 4


class Refused(VedetteError):
    """The gateway did not let a request through: 403 or 429 in the real world."""

    def __init__(self, action: str) -> None:
        super().__init__(f"the gateway refuses this client ({action})")


class Gateway:
    """Lets clients in or not.

    Parameters
    ----------
    settings
        Of the demo: where the broker is, and the key of the pseudonyms.
    """

    def __init__(self, settings: Settings) -> None:
        table = VerdictTable()
        self._follower = Follower(table, settings.kafka)
        self._judgement = Judgement(table, settings.verdicts, self._follower.age_s)
        self._pseudonym = load_pseudonyms(settings).of
        self._throttled: dict[str, Limiter] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the verdicts that hold, then follow them."""
        self._task = asyncio.create_task(self._follower.run())
        async with asyncio.timeout(WARM_TIMEOUT_S):
            await self._follower.warm.wait()

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self, client: str) -> None:
        """Let one request of a client pass.

        Raises
        ------
        Refused
            If its verdict forbids it. A program cannot solve a challenge, so that is a refusal.
        """
        answer = self._judgement.of(self._pseudonym("client", client))
        if answer.shadow or answer.action in ("allow", "watch"):
            return
        if answer.action == "throttle":
            limiter = self._throttled.setdefault(
                client, Limiter(THROTTLED_PER_MINUTE, THROTTLED_BURST)
            )
            if not limiter.wait_s(time.time()):
                limiter.take(time.time())
                return
        raise Refused(answer.action)

    def admits(self, client: str) -> bool:
        """Tell whether a request of a client would pass now."""
        try:
            self.check(client)
        except Refused:
            return False
        return True


class GuardedModel:
    """The model behind the gateway, in the form that the play and the attackers use.

    Parameters
    ----------
    model
        The open one.
    gateway
        Asked before each request.
    """

    def __init__(self, model: KafkaModel, gateway: Gateway) -> None:
        self._model = model
        self._gateway = gateway
        self.refused = 0

    @property
    def sent(self) -> int:
        """Requests that were let through."""
        return self._model.sent

    @property
    def answered(self) -> int:
        """Answers to them."""
        return self._model.answered

    def post(self, client: str, image: Images) -> str:
        """Send one request of an ordinary client, if it may."""
        if self._gateway.admits(client):
            return self._model.post(client, image)
        self.refused += 1
        return ""

    async def ask(self, client: str, images: Images) -> Scores:
        """Send a request per image and return what the model answers.

        Raises
        ------
        Refused
            If the client may not.
        """
        for _ in images:
            self._gateway.check(client)
        return await self._model.ask(client, images)
