"""The play: ordinary traffic and attackers at the same time, and the alerts that come of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from config.errors import Transient
from streams.demo.judge import Outcome, Planted, SeenAlert, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.demo.attacks.target import Images
    from streams.demo.cast import Attacker
    from streams.demo.clients import Population, Traffic

#: The rate shown is that of the last seconds.
RATE_WINDOW_S = 5.0
#: After the last request: how long answers may still take, then how long alerts may.
DRAIN_S = 20.0
SETTLE_S = 4.0
TICK_S = 0.25


class Model(Protocol):
    """The part of `streams.demo.transport.KafkaModel` that the play needs."""

    sent: int
    answered: int

    def post(self, client: str, image: Images) -> str:
        """Send one request without waiting for its answer."""


@dataclass(slots=True)
class Play:
    """What goes on, readable at any time by the view.

    Attributes
    ----------
    alerts
        As they come.
    asked
        Ordinary clients that have sent something.
    problems
        Attackers that could not go on, and why.
    """

    model: Model
    population: Population
    traffic: Traffic
    pictures: Images
    attackers: list[Attacker]
    pseudonym: Callable[[str], str]
    seconds: float
    began_s: float = 0.0
    alerts: list[SeenAlert] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    _sent: deque[tuple[float, int]] = field(default_factory=deque)

    async def run(self, *, settle_s: float = SETTLE_S) -> Outcome:
        """Play to the end and judge what was seen."""
        self.began_s = time.monotonic()
        attacks = [asyncio.create_task(self._attack(attacker)) for attacker in self.attackers]
        try:
            await self._send_ordinary()
            await asyncio.sleep(max(0.0, self.began_s + self.seconds - time.monotonic()))
        finally:
            for attack in attacks:
                attack.cancel()
            await asyncio.gather(*attacks, return_exceptions=True)
        await self._drain(settle_s)
        return self.outcome()

    def outcome(self) -> Outcome:
        """Judge what was seen so far."""
        planted = [
            Planted(
                name=attacker.name,
                goal=attacker.goal,
                client=self.pseudonym(attacker.client),
                asked_s=tuple(attacker.target.asked_s),
                success=attacker.target.success,
                problem=self.problems.get(attacker.name),
            )
            for attacker in self.attackers
        ]
        return judge(planted, {self.pseudonym(name) for name in self.asked}, tuple(self.alerts))

    def see(self, value: bytes) -> None:
        """Take note of an alert, at the time it can be read."""
        alert = _ALERT_DECODER.decode(value)
        if alert.subject.type == "monitor" or alert.state == "resolved":
            return
        about_clients = alert.subject.type in {"client", "campaign"}
        self.alerts.append(
            SeenAlert(
                id=alert.id,
                at_s=time.monotonic(),
                subject_type=alert.subject.type,
                clients=alert.subject.ids if about_clients else (),
                kind=alert.kind,
                detector=alert.detector,
                events=alert.events,
                delay_s=(datetime.now(UTC) - alert.time).total_seconds(),
            )
        )

    def rate_per_s(self) -> float:
        """Return how many requests a second were sent of late."""
        now_s = time.monotonic()
        self._sent.append((now_s, self.model.sent))
        while now_s - self._sent[0][0] > RATE_WINDOW_S:
            self._sent.popleft()
        passed_s = now_s - self._sent[0][0]
        return (self.model.sent - self._sent[0][1]) / passed_s if passed_s > 0 else 0.0

    async def _send_ordinary(self) -> None:
        names = self.population.names
        for at_s, client, picture in zip(
            self.traffic.time_s, self.traffic.client, self.traffic.picture, strict=True
        ):
            wait_s = self.began_s + float(at_s) - time.monotonic()
            if wait_s > 0.002:
                await asyncio.sleep(wait_s)
            self.model.post(names[client], self.pictures[picture])
            self.asked.add(names[client])

    async def _attack(self, attacker: Attacker) -> None:
        await asyncio.sleep(attacker.begins * self.seconds)
        left_s = self.began_s + self.seconds - time.monotonic()
        try:
            await attacker.run(left_s)
        except* Transient as errors:
            self.problems[attacker.name] = str(errors.exceptions[0])

    async def _drain(self, settle_s: float) -> None:
        """Wait for the last answers, then for alerts that may still be on their way."""
        for _ in range(int(DRAIN_S / TICK_S)):
            if self.model.answered >= self.model.sent:
                break
            await asyncio.sleep(TICK_S)
        await asyncio.sleep(settle_s)


class _Subject(msgspec.Struct):
    type: str
    ids: tuple[str, ...]


class _Alert(msgspec.Struct):
    id: str
    subject: _Subject
    kind: str
    detector: str
    events: int
    time: datetime
    state: str = "opened"


_ALERT_DECODER = msgspec.json.Decoder(_Alert)
