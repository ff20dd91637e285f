"""Every planted attack succeeds if nobody stops it, within the queries that a minute allows."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streams.demo.attacks.extraction import Extraction
from streams.demo.attacks.flood import Flood
from streams.demo.attacks.hopskipjump import HopSkipJump
from streams.demo.attacks.square import Square
from streams.demo.attacks.target import Target
from streams.demo.cast import AGREEMENT, MAX_L2, MAX_LINF, SURE
from tests.scenarios.victim import Victim, victim

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EnoughError(Exception):
    """Ends an attack that has succeeded, or has used up its queries."""


class Watched:
    """A victim that remembers what it was asked, and stops answering after a while."""

    def __init__(self, model: Victim, max_queries: int) -> None:
        self.model = model
        self.max_queries = max_queries
        self.asked: list[NDArray[np.float32]] = []
        self.target = Target(self.ask)

    async def ask(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.target.success or self.target.queries > self.max_queries:
            raise EnoughError
        self.asked += list(images)
        return self.model.scores(images)


async def queries_of(attack: object, watched: Watched, *arguments: object) -> int | None:
    with contextlib.suppress(EnoughError):
        await attack.run(*arguments)  # type: ignore[attr-defined]
    return watched.target.success.queries if watched.target.success else None


@pytest.mark.parametrize("seed", range(3))
async def test_hopskipjump_evades_with_labels_only(seed: int) -> None:
    model = victim()
    watched = Watched(model, 6000)
    attack = HopSkipJump(watched.target, np.random.default_rng(seed), MAX_L2)
    victims = model.pictures[model.sure(SURE)[40 * seed : 40 * seed + 40]]
    needed = await queries_of(attack, watched, victims, model.pictures[-30:])
    assert needed is not None
    assert closest(watched.asked, victims, model) <= MAX_L2


@pytest.mark.parametrize("seed", range(3))
async def test_square_evades_within_the_pixel_budget(seed: int) -> None:
    model = victim()
    watched = Watched(model, 6000)
    attack = Square(watched.target, np.random.default_rng(seed), MAX_LINF)
    victims = model.pictures[model.sure(SURE)[40 * seed : 40 * seed + 40]]
    assert await queries_of(attack, watched, victims) is not None
    last = watched.asked[-1]
    change = np.abs(victims - last).max(axis=(1, 2))
    original = victims[change.argmin()]
    assert change.min() <= MAX_LINF + 1e-6
    assert model.scores(last[None]).argmax() != model.scores(original[None]).argmax()


@pytest.mark.parametrize("seed", range(2))
async def test_extraction_copies_the_model_from_twenty_pictures(seed: int) -> None:
    model = victim()
    watched = Watched(model, 1500)
    unseen = model.pictures[200:]
    answered = model.scores(unseen).argmax(axis=1)
    attack = Extraction(
        watched.target,
        np.random.default_rng(seed),
        lambda labels: float((labels(unseen) == answered).mean()),
        wanted=AGREEMENT,
        seed=seed,
    )
    mine = model.pictures[:200]
    classes = model.scores(mine).argmax(axis=1)
    seeds = np.concatenate([mine[classes == label][2 * seed : 2 * seed + 2] for label in range(10)])
    needed = await queries_of(attack, watched, seeds)
    assert needed is not None
    assert attack.reached >= AGREEMENT


async def test_a_flood_that_is_kept_up_has_succeeded() -> None:
    clock = Clock()
    model = victim()
    target = Target(model.ask, clock=clock.now, sleep=clock.sleep)
    attack = Flood(target, np.random.default_rng(0), rate_per_s=50.0, sustain_s=5.0)
    await attack.run(model.pictures, seconds=8.0)
    assert target.success is not None
    assert target.success.at_s == pytest.approx(5.0, abs=0.3)
    assert target.queries == pytest.approx(400, abs=6)


async def test_a_pace_is_kept_however_fast_answers_come() -> None:
    clock = Clock()
    model = victim()
    target = Target(model.ask, pace_per_s=20.0, clock=clock.now, sleep=clock.sleep)
    await target.labels(model.pictures[:80])
    assert clock.now() == pytest.approx(80 / 20, abs=0.5)


def closest(asked: list[NDArray[np.float32]], victims: NDArray[np.float32], model: Victim) -> float:
    """Return the smallest L2 distance of a misclassified query from the picture it came from."""
    images = np.stack(asked)
    answered = model.scores(images).argmax(axis=1)
    truth = model.scores(victims).argmax(axis=1)
    distance = np.linalg.norm(
        (images[:, None] - victims[None]).reshape(len(images), -1, 64), axis=2
    )
    wrong = answered[:, None] != truth[None]
    return float(distance[wrong].min())


class Clock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        self._now_s += seconds
        await asyncio.sleep(0)
