"""Flood: take the capacity of a model away from everybody else."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

    from streams.demo.attacks.target import Images, Target

#: Pictures are posted in bursts of this length, answers are not waited for.
TICK_S = 0.1
#: A sustained rate is reached if no more than this share is missing, for the clock's jitter.
TOLERANCE = 0.05


@dataclass(slots=True)
class Flood:
    """Posts ordinary pictures at a multiple of what any client usually peaks at.

    Parameters
    ----------
    target
        The model; its own pace must be unlimited.
    rng
        Which pictures are posted.
    rate_per_s
        Pictures a second.
    sustain_s
        The attack has succeeded once the rate was kept up for so long.
    """

    target: Target
    rng: Generator
    rate_per_s: float
    sustain_s: float = 20.0

    async def run(self, pictures: Images, *, seconds: float) -> None:
        """Flood the model for some time."""
        clock, sleep = self.target.clock, self.target.sleep
        began_s = clock()
        sent = 0
        async with asyncio.TaskGroup() as group:
            while (passed_s := clock() - began_s) < seconds:
                due = int(passed_s * self.rate_per_s) + 1 - sent
                if due > 0:
                    chosen = pictures[self.rng.integers(0, len(pictures), due)]
                    group.create_task(self._post(chosen))
                    sent += due
                await sleep(TICK_S)
                self._judge()

    async def _post(self, images: Images) -> None:
        await self.target.query(images)

    def _judge(self) -> None:
        target = self.target
        now_s = target.clock()
        if target.success or target.started_s is None:
            return
        if now_s - target.started_s < self.sustain_s:
            return
        recent = len(target.asked_s) - bisect_left(target.asked_s, now_s - self.sustain_s)
        rate_per_s = recent / self.sustain_s
        if rate_per_s >= (1 - TOLERANCE) * self.rate_per_s:
            target.succeed(f"kept up {rate_per_s:.0f} requests/s for {self.sustain_s:.0f} s")
