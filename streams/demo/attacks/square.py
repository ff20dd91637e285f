"""Square attack: a score-based evasion by random squares.

References
----------
Andriushchenko, Croce, Flammarion, Hein: Square Attack: a query-efficient black-box adversarial
attack via random search (ECCV 2020), untargeted, Linf.
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

    from streams.demo.attacks.target import Images, Scores, Target

#: Share of pixels in the first squares (the paper's p for small images).
FIRST_SHARE = 0.8
#: The share halves at these iterations of 10,000, rescaled to the wanted number.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(slots=True)
class Square:
    """Keeps a random square change whenever it lowers the margin of the true class.

    Parameters
    ----------
    target
        The model.
    rng
        Where squares come from.
    max_linf
        Perceptual budget: the largest change of any pixel, pixels in [0, 1].
    max_iterations
        When to give a picture up.
    """

    target: Target
    rng: Generator
    max_linf: float
    max_iterations: int = 200

    async def run(self, victims: Iterable[Images]) -> None:
        """Evade the model for one picture after the other."""
        for victim in victims:
            await self._evade(to_shades(victim))

    async def _evade(self, victim: Images) -> None:
        label = int((await self.target.query(victim[None]))[0].argmax())
        stripes = self.rng.choice((-1, 1), (1, victim.shape[1])) * self.max_linf
        best = self._within_budget(victim, victim + stripes)
        margin = _margin(await self.target.query(best[None]), label)
        for iteration in range(self.max_iterations):
            if margin <= 0:
                change = float(np.abs(best - victim).max())
                self.target.succeed(f"misclassified at Linf {change:.3f} <= {self.max_linf}")
                return
            candidate = self._within_budget(victim, self._with_square(victim, best, iteration))
            found = _margin(await self.target.query(candidate[None]), label)
            if found < margin:
                best, margin = candidate, found

    def _with_square(self, victim: Images, best: Images, iteration: int) -> NDArray[np.floating]:
        """Set a random square of ``best`` to plus or minus the budget around the original."""
        height, width = victim.shape
        side = self._side(height * width, iteration)
        side = min(side, height - 1, width - 1)
        top = int(self.rng.integers(0, height - side + 1))
        left = int(self.rng.integers(0, width - side + 1))
        changed = best.copy()
        window = (slice(top, top + side), slice(left, left + side))
        changed[window] = victim[window] + self.rng.choice((-1, 1)) * self.max_linf
        return changed

    def _side(self, pixels: int, iteration: int) -> int:
        scaled = iteration * 10_000 / self.max_iterations
        share = FIRST_SHARE / 2 ** sum(scaled > halving for halving in HALVINGS)
        return max(round(float(np.sqrt(share * pixels))), 1)

    def _within_budget(self, victim: Images, image: NDArray[np.floating]) -> Images:
        """Keep to the whole shades of the budget, so that rounding never exceeds it."""
        limit = np.floor(self.max_linf * SHADES + 1e-6) / SHADES
        return to_shades(np.clip(image, victim - limit, victim + limit).astype(np.float32))


def _margin(scores: Scores, label: int) -> float:
    """Log-probability of the true class over the best other one."""
    logs = np.log(np.maximum(scores[0].astype(np.float64), 1e-12))
    return float(logs[label] - np.delete(logs, label).max())
