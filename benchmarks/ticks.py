"""``python -m benchmarks.ticks``: what one second of many clients costs the burst detector.

Beside it, in turns, the least that any such detector does, in bare NumPy: ten sums a client that
fade, grow by what came and are compared with a level.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from benchmarks.quality.traffic import traffic_batch
from detectors.suite import Suite
from models.device import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CLIENTS = 100_000
ACTIVE = (1_000, 10_000, 100_000)
ROUNDS = 9
_SCALES = 10


class Ticks:
    """A burst detector that holds `CLIENTS` clients, and the seconds that it spent."""

    def __init__(self) -> None:
        self._names = tuple(map(str, range(CLIENTS)))
        self._suite = Suite(
            "ticks", None, run_length_events=60_000, max_clients=CLIENTS + 2048, lateness_us=0,
            detectors=("traffic.burst",), clock=time.process_time,
        )  # fmt: skip
        self._rows = self._second = 0
        self.cost_s(np.arange(CLIENTS), tokens=True)

    def cost_s(self, clients: NDArray[np.intp], *, tokens: bool) -> float:
        """Return what it costs if each of these clients sends a request within a second."""
        self._second += 1
        when_s = np.full(len(clients), float(self._second))
        batch = traffic_batch(self._names, clients, when_s, self._rows)
        if tokens:
            sizes = np.arange(len(clients), dtype=np.int32) % 1000 + 1
            batch = replace(batch, input_tokens=sizes, output_tokens=sizes)
        self._rows += len(clients)
        before_s = self._suite.busy_s["traffic.burst"]
        self._suite.observe(batch)
        return self._suite.busy_s["traffic.burst"] - before_s


def bare() -> Callable[[NDArray[np.intp]], float]:
    """Return what the same costs in bare NumPy."""
    sums = np.zeros((_SCALES, CLIENTS), np.float32)
    level = np.full((_SCALES, CLIENTS), 1e6, np.float32)
    fade = np.linspace(0.5, 0.99, _SCALES, dtype=np.float32)[:, None]

    def cost_s(clients: NDArray[np.intp]) -> float:
        began_s = time.process_time()
        came = np.bincount(clients, minlength=CLIENTS).astype(np.float32)
        np.multiply(sums, fade, out=sums)
        np.add(sums, came, out=sums)
        np.flatnonzero(np.any(sums > level, axis=0))
        return time.process_time() - began_s

    return cost_s


def main() -> None:
    """Print medians over `ROUNDS` rounds of milliseconds of CPU."""
    rng = np.random.default_rng(0)
    with one_thread():
        ticks, floor, console = Ticks(), bare(), Console()
        console.print(
            f"{CLIENTS:,} clients held; ms of CPU a second of traffic, median of {ROUNDS}"
        )
        for active in ACTIVE:
            costs = []
            for _ in range(ROUNDS):
                who = rng.permutation(CLIENTS)[:active]
                costs.append(
                    [ticks.cost_s(who, tokens=False), ticks.cost_s(who, tokens=True), floor(who)]
                )
            requests, tokens, least = np.median(costs, axis=0) * 1000
            console.print(
                f"{active:>7,} active: {requests:6.1f} requests alone, {tokens:6.1f} with tokens, "
                f"{least:5.1f} bare"
            )


if __name__ == "__main__":
    main()
