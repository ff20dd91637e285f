"""Who attacks in the demo, with what, how fast, and what counts as success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streams.demo.attacks.extraction import Extraction
from streams.demo.attacks.flood import Flood
from streams.demo.attacks.hopskipjump import HopSkipJump
from streams.demo.attacks.square import Square
from streams.demo.attacks.target import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from streams.demo.attacks.target import Images, Query

#: Perceptual budgets: a tenth of the range from black to white at every pixel...
MAX_LINF = 0.1
#: ...and the same as a root mean square over 64 pixels.
MAX_L2 = 0.8
#: A copy that answers nine of ten unseen pictures as the model does is worth stealing.
AGREEMENT = 0.9
#: The flood is so many times what the busiest ordinary client peaks at, for so long.
FLOOD_FACTOR = 10.0
FLOOD_SUSTAIN_S = 15.0
#: Queries a second over a network, in small batches.
HOPSKIPJUMP_PACE_PER_S = 15.0
SQUARE_PACE_PER_S = 10.0
EXTRACTION_PACE_PER_S = 20.0
VICTIMS = 40
OTHERS = 27
SEEDS_PER_CLASS = 2
#: Only pictures the model is sure of are worth evading; others it gets wrong by itself.
SURE = 0.99


@dataclass(frozen=True, slots=True)
class Attacker:
    """An attacker ready to start.

    Attributes
    ----------
    begins
        Share of the play after which it starts.
    run
        Attacks for at most the seconds it is given.
    """

    name: str
    goal: str
    client: str
    begins: float
    target: Target
    run: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Loot:
    """What the attackers have, and what they are measured with.

    Attributes
    ----------
    pictures, scores
        Pictures of the attackers' own, and what the model answers for them.
    unseen, answers
        Pictures that no attacker has, and the class the model answers for each.
    """

    pictures: Images
    scores: NDArray[np.float32]
    unseen: Images
    answers: NDArray[np.int64]


def make_cast(
    ask: Callable[[str], Query], loot: Loot, usual_peak_per_s: float, seed: int
) -> list[Attacker]:
    """Prepare the four attackers.

    Parameters
    ----------
    ask
        Gives the query function of a client.
    loot
        Their pictures.
    usual_peak_per_s
        What the busiest ordinary client peaks at.
    seed
        Of every decision that they leave to chance.
    """
    generators = [np.random.default_rng([seed, number]) for number in range(4)]
    sure = generators[0].permutation(np.flatnonzero(loot.scores.max(axis=1) > SURE))
    victims = loot.pictures[sure]
    return [
        _hopskipjump(ask, victims[:VICTIMS], loot.pictures[-OTHERS:], generators[0]),
        _square(ask, victims[-VICTIMS:], generators[1]),
        _extraction(ask, loot, generators[2], seed),
        _flood(ask, loot.pictures, usual_peak_per_s, generators[3]),
    ]


def _hopskipjump(
    ask: Callable[[str], Query], victims: Images, others: Images, rng: Generator
) -> Attacker:
    client = "attacker-hopskipjump"
    target = Target(ask(client), HOPSKIPJUMP_PACE_PER_S)
    attack = HopSkipJump(target, rng, MAX_L2)

    async def run(_: float) -> None:
        await attack.run(victims, others)

    goal = f"a picture misclassified within L2 {MAX_L2}, by labels alone"
    return Attacker("HopSkipJump", goal, client, 0.05, target, run)


def _square(ask: Callable[[str], Query], victims: Images, rng: Generator) -> Attacker:
    client = "attacker-square"
    target = Target(ask(client), SQUARE_PACE_PER_S)
    attack = Square(target, rng, MAX_LINF)

    async def run(_: float) -> None:
        await attack.run(victims)

    goal = f"a picture misclassified within Linf {MAX_LINF}, by scores"
    return Attacker("Square", goal, client, 0.1, target, run)


def _extraction(ask: Callable[[str], Query], loot: Loot, rng: Generator, seed: int) -> Attacker:
    client = "attacker-extraction"
    target = Target(ask(client), EXTRACTION_PACE_PER_S)
    attack = Extraction(
        target,
        rng,
        lambda labels: float((labels(loot.unseen) == loot.answers).mean()),
        wanted=AGREEMENT,
        seed=seed,
    )
    classes = loot.scores.argmax(axis=1)
    mine = [np.flatnonzero(classes == label)[:SEEDS_PER_CLASS] for label in np.unique(classes)]
    seeds = loot.pictures[np.concatenate(mine)]

    async def run(_: float) -> None:
        await attack.run(seeds)

    goal = f"a copy that agrees on {AGREEMENT:.0%} of unseen pictures"
    return Attacker("Extraction (JBDA)", goal, client, 0.15, target, run)


def _flood(
    ask: Callable[[str], Query], pictures: Images, usual_peak_per_s: float, rng: Generator
) -> Attacker:
    client = "attacker-flood"
    target = Target(ask(client))
    rate_per_s = FLOOD_FACTOR * usual_peak_per_s
    attack = Flood(target, rng, rate_per_s, FLOOD_SUSTAIN_S)

    async def run(seconds: float) -> None:
        await attack.run(pictures, seconds=min(seconds, 2 * FLOOD_SUSTAIN_S))

    goal = f"{rate_per_s:.0f} requests/s ({FLOOD_FACTOR:.0f}x any peak) for {FLOOD_SUSTAIN_S:.0f} s"
    return Attacker("Flood", goal, client, 0.3, target, run)
