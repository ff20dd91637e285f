"""The whole demo: prepare, play, judge, and clean up whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from kafka.errors import KafkaError

from streams.demo.cast import make_cast
from streams.demo.gateway import Gateway, LastAct, analyst, last_act
from streams.demo.judge import Outcome
from streams.demo.play import Play
from streams.demo.stage import Stage, prepare
from streams.demo.transport import KafkaModel, TopicReader
from streams.demo.view import watch
from streams.demo.watch import Groups, fresh_home, running_broker, running_roles
from streams.identity import load_pseudonyms
from streams.store.search import open_reader, statistics
from streams.topics import ALERTS
from streams.verdicts.follow import Follower
from streams.verdicts.table import VerdictTable

if TYPE_CHECKING:
    from rich.console import Console

    from config.settings import Settings

DEFAULT_HOME = Path(".vedette/demo")
MODEL = "digits"
LAG_EVERY_S = 1.0
AUDIT_TIMEOUT_S = 20.0
#: Clients that ask once before the play, so that nothing is timed on cold processes.
WARM_UP = 24


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a demo showed, all figures.

    ``audited`` is how many interactions lie in the audit trail; it should equal ``answered``.
    """

    seed: int
    seconds: float
    preparation_s: float
    accuracy: float
    requests: int
    answered: int
    audited: int
    usual_peak_per_s: float
    outcome: Outcome
    last_act: LastAct
    home: str
    bootstrap_servers: str


def show(*, home: Path, seconds: float, seed: int, keep: bool, console: Console) -> Report:
    """Run the demo.

    Parameters
    ----------
    home
        Emptied first if an earlier demo made it.
    seconds
        Length of the play.
    seed
        Of everything that is left to chance, except for what the network's timing decides.
    keep
        Leave the broker running.
    console
        Where to show what happens.
    """
    began_s = time.monotonic()
    told = partial(_tell, console, began_s)
    settings = fresh_home(home, MODEL)
    told("starting Kafka")
    with running_broker(settings, keep=keep):
        stage = prepare(settings, seconds, seed, told)
        told(f"starting the roles (the classifier is right on {stage.accuracy:.1%})")
        with running_roles(settings) as process, contextlib.closing(Groups(settings)) as groups:
            groups.wait_until_ready(process, settings.home / "up.log")
            told(f"{len(stage.population.names)} ordinary clients and the attackers begin")
            preparation_s = time.monotonic() - began_s
            play, outcome, closing = asyncio.run(
                _play(settings, stage, groups, seconds, seed, console)
            )
            audited = _audited(settings, play.model.answered)
    return Report(
        seed=seed,
        seconds=seconds,
        preparation_s=round(preparation_s, 1),
        accuracy=round(stage.accuracy, 4),
        requests=play.model.sent,
        answered=play.model.answered,
        audited=audited,
        usual_peak_per_s=stage.usual_peak_per_s,
        outcome=outcome,
        last_act=closing,
        home=str(settings.home),
        bootstrap_servers=settings.kafka.bootstrap_servers,
    )


async def _play(
    settings: Settings,
    stage: Stage,
    groups: Groups,
    seconds: float,
    seed: int,
    console: Console,
) -> tuple[Play, Outcome, LastAct]:
    model = KafkaModel(settings.kafka, stage.signature)
    pseudonyms = load_pseudonyms(settings)
    play = Play(
        model=model,
        population=stage.population,
        traffic=stage.traffic,
        pictures=stage.pictures,
        attackers=make_cast(
            lambda client: partial(model.ask, client), stage.loot, stage.usual_peak_per_s, seed
        ),
        pseudonym=lambda name: pseudonyms.of("client", name),
        seconds=seconds,
    )
    for attacker in play.attackers:
        console.print(f"         {attacker.name} wants {attacker.goal}", soft_wrap=True)
    alerts = TopicReader(settings.kafka, ALERTS, lambda record: play.see(record.value))
    showing: list[asyncio.Task[Any]] = []
    try:
        await alerts.start()
        await model.start()
        await _warm_up(settings, model, stage)
        showing = [
            asyncio.create_task(_follow_lag(play, groups)),
            asyncio.create_task(watch(play, console)),
        ]
        outcome = await play.run()
        return play, outcome, await _last_act(settings, play, model, stage, seed, console)
    finally:
        for task in showing:
            task.cancel()
        await asyncio.gather(*showing, return_exceptions=True)
        await model.stop()
        await alerts.stop()


async def _last_act(
    settings: Settings, play: Play, model: KafkaModel, stage: Stage, seed: int, console: Console
) -> LastAct:
    """Put a gateway that obeys the verdicts before the model, and let everybody come back."""
    console.print("A gateway obeys the verdicts now; the attackers attack again")
    table = VerdictTable()
    follower = Follower(table, settings.kafka)
    following = asyncio.create_task(follower.run())
    try:
        await follower.warm.wait()
        return await last_act(
            Gateway(table, play.pseudonym, model.ask),
            lambda way: make_cast(way, stage.loot, stage.usual_peak_per_s, seed),
            stage.population.names[0],
            stage.pictures[:1],
            analyst(settings),
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _warm_up(settings: Settings, model: KafkaModel, stage: Stage) -> None:
    """Let a question of each of some clients pass through every role, on every partition."""
    for name, picture in zip(stage.population.names[:WARM_UP], stage.pictures, strict=False):
        await model.ask(name, picture[None])
    await asyncio.to_thread(_audited, settings, WARM_UP)


async def _follow_lag(play: Play, groups: Groups) -> None:
    while True:
        with contextlib.suppress(KafkaError):  # only shown; the next look may succeed
            play.lag = await asyncio.to_thread(groups.lag)
        await asyncio.sleep(LAG_EVERY_S)


def _audited(settings: Settings, wanted: int) -> int:
    """Return how many interactions the audit trail holds, waiting for the last of them."""
    deadline_s = time.monotonic() + AUDIT_TIMEOUT_S
    while True:
        with open_reader(settings.audit_database) as connection:
            found = statistics(connection).by_kind.get("event", 0)
        if found >= wanted or time.monotonic() > deadline_s:
            return found
        time.sleep(0.5)


def _tell(console: Console, began_s: float, what: str) -> None:
    console.print(f"{time.monotonic() - began_s:5.1f} s  {what}")
