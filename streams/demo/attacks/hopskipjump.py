"""HopSkipJump: a decision-based evasion that needs nothing but the answered class.

References
----------
Chen, Jordan, Wainwright: HopSkipJumpAttack: A Query-Efficient Decision-Based Attack
(IEEE S&P 2020), untargeted, L2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streams.demo.attacks.target import SHADES, to_shades

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from streams.demo.attacks.target import Images, Target

#: Queries answered at once; a patient attacker sends few.
BATCH = 8
#: A picture that has not given way by then is left for the next one.
MAX_STEPS = 8


@dataclass(slots=True)
class HopSkipJump:
    """Moves along the decision boundary towards the original picture.

    Parameters
    ----------
    target
        The model.
    rng
        Where directions come from.
    max_l2
        Perceptual budget: the largest L2 distance, pixels in [0, 1], that counts as evasion.
    first_probes
        Probes of the first gradient estimate: the paper's B0 is 100, for pictures of 3,072
        values; small ones need fewer, which makes the attack faster.
    """

    target: Target
    rng: Generator
    max_l2: float
    first_probes: int = 50

    async def run(self, victims: Iterable[Images], others: Images) -> None:
        """Evade the model for one picture after the other.

        Parameters
        ----------
        victims
            Pictures to be misclassified.
        others
            Pictures of the attacker's own to start from: those of another class will do.
        """
        for victim in map(to_shades, victims):
            label = int((await self.target.labels(victim[None]))[0])
            start = await self._starting_point(label, others)
            if start is not None:
                await self._evade(victim, start, label)

    async def _starting_point(self, label: int, others: Images) -> Images | None:
        for row in self.rng.permutation(len(others)):
            if await self._is_adversarial(others[row : row + 1], label):
                return np.asarray(others[row])
        return None

    async def _evade(self, victim: Images, start: Images, label: int) -> None:
        size = victim.size
        # The paper's threshold, but no finer than half a shade of the picture.
        threshold = max(1 / (np.sqrt(size) * size), 0.5 / SHADES)
        current = await self._to_boundary(victim, start, label, threshold)
        for step in range(1, MAX_STEPS + 1):
            distance = _l2(current, victim)
            if distance <= self.max_l2:
                self.target.succeed(f"misclassified at L2 {distance:.2f} <= {self.max_l2}")
                return
            radius = 0.1 * np.sqrt(size) if step == 1 else np.sqrt(size) * threshold * distance
            radius = max(radius, np.sqrt(size) * 1.0 / SHADES)  # rounding would swallow less
            probes = int(self.first_probes * np.sqrt(step))
            direction = await self._gradient(current, label, radius, probes)
            moved = await self._leap(current, direction, label, distance / np.sqrt(step))
            current = await self._to_boundary(victim, moved, label, threshold)

    async def _to_boundary(
        self, victim: Images, outside: Images, label: int, threshold: float
    ) -> Images:
        """Bisect between the original and a misclassified picture."""
        low, high = 0.0, 1.0
        best = outside
        while high - low > threshold:
            middle = (low + high) / 2
            blend = to_shades((1 - middle) * victim + middle * outside)
            if await self._is_adversarial(blend[None], label):
                high, best = middle, blend
            else:
                low = middle
        return best

    async def _gradient(
        self, current: Images, label: int, radius: float, probes: int
    ) -> NDArray[np.float64]:
        """Estimate the boundary's normal by Monte Carlo (the paper's equation 16)."""
        drawn = self.rng.standard_normal((probes, *current.shape))
        drawn /= np.sqrt((drawn**2).sum(axis=(1, 2), keepdims=True))
        probed = to_shades((current + radius * drawn).astype(np.float32))
        moves = (probed.astype(np.float64) - current) / radius
        answers = 2.0 * (await self.target.labels(probed, batch=BATCH) != label) - 1.0
        mean = answers.mean()
        weights = answers if abs(mean) == 1.0 else answers - mean
        estimate = (weights[:, None, None] * moves).mean(axis=0)
        return np.asarray(estimate / np.linalg.norm(estimate))

    async def _leap(
        self, current: Images, direction: NDArray[np.float64], label: int, length: float
    ) -> Images:
        """Step along the normal, halving the step until it stays misclassified."""
        while length > 0.5 / SHADES:
            moved = to_shades((current + length * direction).astype(np.float32))
            if await self._is_adversarial(moved[None], label):
                return moved
            length /= 2
        return current

    async def _is_adversarial(self, image: Images, label: int) -> bool:
        return bool((await self.target.labels(image))[0] != label)


def _l2(one: Images, other: Images) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other))
