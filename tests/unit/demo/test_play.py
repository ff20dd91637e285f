"""The play sends what was planned, keeps going after alerts, and shows what happens."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from rich.console import Console

from config.errors import Transient
from streams.demo.attacks.target import Target
from streams.demo.cast import Attacker
from streams.demo.clients import make_population, simulate
from streams.demo.gateway import ByHand, LastAct
from streams.demo.play import Play
from streams.demo.view import result_table, screen, summary, watch
from tests.unit.demo.fakes import FakeModel, alert_json

SECONDS = 0.6
ACT = LastAct(attackers=(), by_hand=ByHand(client="anna", refused_after_s=0.0, allowed_after_s=0.1))


def make_play(*attackers: Attacker, model: FakeModel | None = None) -> Play:
    rng = np.random.default_rng(0)
    population = make_population(20, 60.0, rng)
    pool = rng.random((40, 8, 8)).astype(np.float32)
    traffic = simulate(population, np.arange(40) % 10, SECONDS, rng)
    return Play(
        model=model or FakeModel(),
        population=population,
        traffic=traffic,
        pictures=pool,
        attackers=list(attackers),
        pseudonym=lambda name: f"u1_{name}",
        seconds=SECONDS,
    )


def asking_attacker(model: FakeModel, *, succeeds_after: int | None) -> Attacker:
    target = Target(lambda images: model.ask("mallory", images))

    async def run(_: float) -> None:
        while True:
            await target.query(np.zeros((1, 8, 8), np.float32))
            if target.queries == succeeds_after:
                target.succeed("done")
            await asyncio.sleep(0.01)

    return Attacker("asker", "to ask", "mallory", 0.0, target, run)


async def test_all_ordinary_requests_are_sent_by_their_clients() -> None:
    model = FakeModel()
    play = make_play(model=model)
    await play.run(settle_s=0)
    assert model.sent == len(play.traffic)
    assert set(model.asked_by) == play.asked


async def test_an_attacker_alerted_in_time_passes_and_goes_on() -> None:
    model = FakeModel()
    play = make_play(asking_attacker(model, succeeds_after=30), model=model)
    running = asyncio.create_task(play.run(settle_s=0))
    await asyncio.sleep(0.1)
    play.see(alert_json("u1_mallory"))
    outcome = await running
    assert outcome.passed
    (row,) = outcome.attackers
    assert row.queries_at_alert is not None
    assert row.success_queries == 30
    assert row.queries_at_alert < 30 < row.queries


async def test_an_alert_during_the_last_settling_still_counts_against_us() -> None:
    play = make_play()
    running = asyncio.create_task(play.run(settle_s=0.3))
    await asyncio.sleep(SECONDS + 0.1)
    play.see(alert_json("u1_client-001"))
    assert (await running).false_alarms == ("u1_client-001",)


async def test_an_attacker_without_answers_is_reported() -> None:
    async def fail(_: float) -> None:
        raise Transient("no answer within 30 s")

    async def ask(images: object) -> object:
        raise AssertionError

    attacker = Attacker("mute", "-", "mallory", 0.0, Target(ask), fail)  # type: ignore[arg-type]
    outcome = await make_play(attacker).run(settle_s=0)
    assert outcome.attackers[0].problem == "no answer within 30 s"
    assert not outcome.passed


@pytest.mark.parametrize("terminal", [False, True])
async def test_the_view_names_attackers_and_alerts(terminal: bool) -> None:
    model = FakeModel()
    play = make_play(asking_attacker(model, succeeds_after=None), model=model)
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, highlight=False)
    showing = asyncio.create_task(watch(play, console))
    running = asyncio.create_task(play.run(settle_s=0.3))
    await asyncio.sleep(0.2)
    play.see(alert_json("u1_mallory"))
    play.see(alert_json("digits", kind="drift", subject="model"))
    outcome = await running
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    console.print(screen(play), result_table(outcome), summary(outcome, ACT))
    shown = text.getvalue()
    assert "asker" in shown
    assert "requests/s" in shown
    assert "drift" in shown
    assert "PASSED: 1 of 1 attackers" in shown
