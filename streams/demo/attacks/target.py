"""What an attacker sees of a served model, and what is written down about the attack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing import Any

Images = NDArray[np.float32]
Scores = NDArray[np.float32]
#: Images (n, height, width) within [0, 1] to class probabilities (n, classes).
Query = Callable[[Images], Awaitable[Scores]]

#: A display has 256 shades: pictures are rounded to them before they are sent or judged.
SHADES = 255


@dataclass(frozen=True, slots=True)
class Success:
    """An attack reached its goal."""

    at_s: float
    queries: int
    detail: str


@dataclass(slots=True)
class Target:
    """A served model as one attacker reaches it: paced, counted, and otherwise open.

    Parameters
    ----------
    ask
        Queries the model.
    pace_per_s
        Highest rate of queries, None for as fast as answers come.
    clock, sleep
        Replaceable for tests.

    Attributes
    ----------
    asked_s
        When each query was made, by ``clock``.
    """

    ask: Query
    pace_per_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    queries: int = 0
    started_s: float | None = None
    asked_s: list[float] = field(default_factory=list)
    successes: list[Success] = field(default_factory=list)
    _due_s: float = 0.0

    async def query(self, images: Images) -> Scores:
        """Return the model's answers to a small batch of images."""
        now_s = self.clock()
        if self.started_s is None:
            self.started_s = self._due_s = now_s
        if self.pace_per_s:
            if self._due_s > now_s:
                await self.sleep(self._due_s - now_s)
            self._due_s = max(self._due_s, now_s) + len(images) / self.pace_per_s
        self.queries += len(images)
        self.asked_s += [self.clock()] * len(images)
        return await self.ask(to_shades(images))

    async def labels(self, images: Images, *, batch: int = 8) -> NDArray[np.intp]:
        """Return the classes that the model answers, a small batch at a time."""
        parts = [
            (await self.query(images[start : start + batch])).argmax(axis=1)
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    def succeed(self, detail: str) -> None:
        """Note that the goal is reached, after as many queries as were made so far."""
        self.successes.append(Success(self.clock(), self.queries, detail))

    @property
    def success(self) -> Success | None:
        """The first time the goal was reached."""
        return self.successes[0] if self.successes else None


def to_shades(images: Images) -> Images:
    """Clip to [0, 1] and round to the shades that a picture can have."""
    return (np.rint(np.clip(images, 0, 1) * SHADES) / SHADES).astype(np.float32)
