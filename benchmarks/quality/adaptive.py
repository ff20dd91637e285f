"""Attackers that know that they are watched, and how, but are not told what the watch thinks.

Each runs against the model until it succeeds; it counts as unnoticed if no alert about any of its
accounts came before. Queries are those of the attacks of `benchmarks.quality.evasion`, hidden as
each attacker sees fit.

References
----------
Feng et al., Stateful Defenses for Machine Learning Models Are Not Yet Secure Against Black-box
Attacks (OARS), 2023. Chen, Carlini, Wagner, Stateful Detection of Black-Box Adversarial Attacks
(query blinding), 2019.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.benign import shifted
from benchmarks.quality.evasion import EVASION
from benchmarks.quality.oracle import Oracle, Spent
from benchmarks.quality.world import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Image = NDArray[np.float64]
    Disguise = Callable[[Image, Generator], Image]

#: Attacks that are hidden: one that walks the boundary, one that descends, one that tries patches.
_HIDDEN = ("HopSkipJump", "NES", "Square")
_ACCOUNTS = 4
_BENIGN_EACH = 4


class Disguised(Oracle):
    """A model asked with disguised queries; the attacker takes the answers for those of its own."""

    def __init__(self, victim: Victim, disguise: Disguise, rng: Generator, limit: int) -> None:
        super().__init__(victim.scores, limit)
        self._disguise, self._rng = disguise, rng

    def ask(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Answer disguised images."""
        hidden = [self._disguise(np.asarray(image, np.float64), self._rng) for image in x]
        return super().ask(np.clip(np.stack(hidden), 0, 1))


def _noise(image: Image, rng: Generator) -> Image:
    return image + rng.uniform(0.02, 0.2) * rng.standard_normal(image.shape)


def _blinding(image: Image, rng: Generator) -> Image:
    """Move and light each query anew."""
    step = image.shape[0] / 28
    return np.asarray(shifted(image, rng.uniform(-2, 2, 2) * step) * rng.uniform(0.8, 1.2))


def _plain(image: Image, rng: Generator) -> Image:  # noqa: ARG001
    return image


def adaptive(victim: Victim, attackers: int, seed: int, limit: int) -> Iterator[list[Client]]:
    """Yield the accounts of each attacker; success is counted in queries of all of them."""
    ways: dict[str, tuple[Disguise, int, int]] = {
        "noise on each query": (_noise, 1, 0),
        "blinding": (_blinding, 1, 0),
        "one in five queries": (_plain, 1, _BENIGN_EACH),
        "four accounts": (_plain, _ACCOUNTS, 0),
    }
    for number, (way, (disguise, accounts, between)) in enumerate(ways.items()):
        for index in range(attackers):
            rng = np.random.default_rng([seed, 6, number, index])
            oracle = Disguised(victim, disguise, rng, limit)
            with suppress(Spent):
                x, other = _pair(victim, rng)
                EVASION[_HIDDEN[index % len(_HIDDEN)]](oracle, x, other, rng)
            asked, at = _among(victim, oracle, between, rng)
            yield [
                Client(
                    f"{way}-{index}-{account}",
                    way,
                    asked[account::accounts],
                    "adaptive",
                    at if at is None else -(-(at - account) // accounts),
                    between=len(asked) - len(oracle.asked),
                )
                for account in range(accounts)
            ]


def _pair(victim: Victim, rng: Generator) -> tuple[Image, Image]:
    """Return an image and one of another class."""
    labels = victim.labels(victim.hostile)
    at = int(rng.integers(len(labels)))
    other = int(rng.choice(np.flatnonzero(labels != labels[at])))
    return victim.hostile[at] / 255.0, victim.hostile[other] / 255.0


def _among(
    victim: Victim, oracle: Oracle, between: int, rng: Generator
) -> tuple[NDArray[np.uint8], int | None]:
    """Put benign queries before each hostile one."""
    asked, at = oracle.asked, oracle.success_at
    if not between:
        return asked, at
    shape = (len(asked), between + 1, *asked.shape[1:])
    mixed = victim.hostile[rng.integers(0, len(victim.hostile), shape[:2])]
    mixed[:, between] = asked
    return mixed.reshape(-1, *asked.shape[1:]), at and at * (between + 1)
