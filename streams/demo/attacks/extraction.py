"""Extraction: copy the model by asking it, with hardly any data of one's own.

References
----------
Papernot et al.: Practical Black-Box Attacks against Machine Learning (AsiaCCS 2017): a handful
of hand-collected pictures, augmented along the substitute's Jacobian (JBDA).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.nets.substitute import Substitute
from streams.demo.attacks.target import to_shades

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from streams.demo.attacks.target import Images, Scores, Target

BATCH = 8
EPOCHS = 60
#: New pictures between two trainings, at most: the paper doubles, then samples a reservoir.
MAX_NEW = 200


@dataclass(slots=True)
class Extraction:
    """Trains a substitute on pictures made by the substitute itself.

    Parameters
    ----------
    target
        The model.
    rng
        Which pictures are augmented next.
    agreement
        Judges the substitute: share of pictures it was never shown that it answers as the
        model does. Not known to the attacker; it only says when the attack had succeeded.
    wanted
        Agreement that counts as a copy.
    step
        Length of an augmentation, per pixel (the paper's lambda).
    """

    target: Target
    rng: Generator
    agreement: Callable[[Callable[[Images], NDArray[np.int64]]], float]
    wanted: float = 0.9
    step: float = 0.1
    seed: int = 0
    reached: float = 0.0

    async def run(self, seeds: Images, *, max_queries: int = 4000) -> None:
        """Copy the model.

        Parameters
        ----------
        seeds
            The few pictures that the attacker has collected.
        max_queries
            When to stop.
        """
        images, scores = seeds, await self._ask(seeds)
        substitute = Substitute(seeds[0].size, scores.shape[1], seed=self.seed)
        while True:
            await asyncio.to_thread(substitute.fit, images, scores, epochs=EPOCHS)
            self._judge(substitute)
            if len(images) >= max_queries:
                return
            new = self._augment(substitute, images, scores)
            images = np.concatenate([images, new])
            scores = np.concatenate([scores, await self._ask(new)])

    def _augment(self, substitute: Substitute, images: Images, scores: Scores) -> Images:
        """Step along the sign of the Jacobian, away from what the substitute is sure of."""
        chosen = self.rng.permutation(len(images))[:MAX_NEW]
        signs = substitute.gradient_signs(images[chosen], scores[chosen].argmax(axis=1))
        direction = self.rng.choice((-1, 1), (len(chosen), 1, 1))  # lambda alternates its sign
        return to_shades((images[chosen] + self.step * direction * signs).astype(np.float32))

    async def _ask(self, images: Images) -> Scores:
        parts = [
            await self.target.query(images[start : start + BATCH])
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)

    def _judge(self, substitute: Substitute) -> None:
        self.reached = self.agreement(substitute.labels)
        if self.reached >= self.wanted and self.target.success is None:
            self.target.succeed(f"a copy agrees on {self.reached:.1%} of unseen pictures")
