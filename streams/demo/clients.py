"""Ordinary clients: how often they ask, how unevenly, and about what."""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

#: Rates spread log-normally over clients: a few ask most of the questions.
RATE_SIGMA = 1.2
#: No ordinary client asks more often than this on average.
MAX_RATE_PER_S = 3.0
#: Coefficient of variation of the gaps between two requests: human traffic is no Poisson process.
CV_RANGE = (1.0, 2.0)
#: Share of requests that repeat the one before, byte for byte.
RETRY_SHARE = 0.03
#: Clients see other classes more often than others: Dirichlet concentration.
CLASS_CONCENTRATION = 2.0
#: Gaps before the first request shown, so that bursts are under way when traffic starts.
BURN_IN_GAPS = 4


@dataclass(frozen=True, slots=True)
class Population:
    """Who the clients are.

    Attributes
    ----------
    names
        Raw client ids.
    rate_per_s, cv
        Mean rate, and coefficient of variation of the gaps, per client.
    weibull
        Whether a client's gaps are Weibull instead of Gamma.
    """

    names: tuple[str, ...]
    rate_per_s: NDArray[np.float64]
    cv: NDArray[np.float64]
    weibull: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests in order of time.

    Attributes
    ----------
    time_s
        Seconds since the start.
    client
        Index into the population's names.
    picture
        Index into the pool of pictures.
    """

    time_s: NDArray[np.float64]
    client: NDArray[np.int64]
    picture: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_s)


def make_population(count: int, total_rate_per_s: float, rng: Generator) -> Population:
    """Draw clients whose rates add up to about ``total_rate_per_s``."""
    rate = rng.lognormal(0.0, RATE_SIGMA, count)
    rate = np.minimum(rate * total_rate_per_s / rate.sum(), MAX_RATE_PER_S)
    return Population(
        names=tuple(f"client-{number:03d}" for number in range(count)),
        rate_per_s=rate,
        cv=rng.uniform(*CV_RANGE, count),
        weibull=rng.random(count) < 0.5,
    )


def simulate(
    population: Population, classes: NDArray[np.integer], seconds: float, rng: Generator
) -> Traffic:
    """Let the clients ask for some time.

    Parameters
    ----------
    population
        Who asks.
    classes
        Class of each picture of the pool; clients prefer some classes.
    seconds
        For how long.
    rng
        Decides when and what.
    """
    times, clients, pictures = [], [], []
    for index in range(len(population.names)):
        arrived = _arrivals(population, index, seconds, rng)
        times.append(arrived)
        clients.append(np.full(len(arrived), index))
        pictures.append(_pictures(classes, len(arrived), rng))
    order = np.argsort(np.concatenate(times), kind="stable")
    return Traffic(
        time_s=np.concatenate(times)[order],
        client=np.concatenate(clients)[order],
        picture=np.concatenate(pictures)[order],
    )


def peak_rate_per_s(traffic: Traffic, window_s: float = 10.0) -> float:
    """Return the highest rate that any client kept up over a window."""
    highest = 0
    for client in np.unique(traffic.client):
        times = traffic.time_s[traffic.client == client]
        inside = np.arange(len(times)) - np.searchsorted(times, times - window_s) + 1
        highest = max(highest, int(inside.max()))
    return highest / window_s


def _arrivals(
    population: Population, index: int, seconds: float, rng: Generator
) -> NDArray[np.float64]:
    """Draw a renewal process of the client's rate and burstiness."""
    mean_s = 1 / float(population.rate_per_s[index])
    before_s = BURN_IN_GAPS * mean_s
    expected = (seconds + before_s) / mean_s
    shape = _weibull_shape if population.weibull[index] else _gamma_shape
    k = shape(float(population.cv[index]))
    times = np.zeros(0)
    while not len(times) or times[-1] < seconds + before_s:
        count = int(expected) + 16
        if population.weibull[index]:
            gaps = rng.weibull(k, count) * mean_s / gamma(1 + 1 / k)
        else:
            gaps = rng.gamma(k, mean_s / k, count)
        times = np.concatenate([times, (times[-1] if len(times) else 0.0) + np.cumsum(gaps)])
    shown = times - before_s
    return shown[(shown >= 0) & (shown < seconds)]


def _gamma_shape(cv: float) -> float:
    return 1 / cv**2


def _weibull_shape(cv: float) -> float:
    """Solve for the shape whose coefficient of variation is ``cv``; it falls with the shape."""
    low, high = 0.3, 2.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        variation = gamma(1 + 2 / middle) / gamma(1 + 1 / middle) ** 2 - 1
        low, high = (middle, high) if variation > cv**2 else (low, middle)
    return high


def _pictures(classes: NDArray[np.integer], count: int, rng: Generator) -> NDArray[np.int64]:
    """Choose pictures of preferred classes, each once before any comes again, and retries."""
    preference = rng.dirichlet(np.full(int(classes.max()) + 1, CLASS_CONCENTRATION))
    weights = np.maximum(preference[classes], 1e-9)
    rounds = -(-count // len(classes))
    drawn = np.concatenate(
        [np.argsort(rng.exponential(size=len(classes)) / weights) for _ in range(max(rounds, 1))]
    )[:count].astype(np.int64)
    again = np.flatnonzero(rng.random(count) < RETRY_SHARE)
    again = again[again > 0]
    drawn[again] = drawn[again - 1]
    return drawn
