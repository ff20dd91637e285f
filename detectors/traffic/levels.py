"""Levels that a client's busiest moments stay below: Gumbel fits of block maxima.

For each metric and channel of `detectors.traffic.counters` the largest count within a block of ten
minutes is kept, on a logarithmic scale. Its mean and variance over blocks give a Gumbel
distribution by moments. A client with n blocks of its own weighs them n/(n + 12) against what is
known of all clients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.traffic.counters import CHANNELS, TICK_US, Counters, Ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.calibration import Calibration

METRICS = ("requests", "input_tokens", "output_tokens", "errors")
BLOCK_US = 600_000_000
#: Blocks that the cohort is worth against a client's own.
PRIOR_BLOCKS = 12
#: Larger values are counted as this.
MAX_VALUE = 1 << 20

_EULER = 0.5772156649
_BETA = math.sqrt(6) / math.pi


class Cohort(NamedTuple):
    """Log block maxima of all clients.

    Attributes
    ----------
    mean
        float64 (metrics, channels): mean over clients.
    spread
        float64 (2, metrics, channels): variance within a client over time, and between clients.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def default_cohort() -> Cohort:
    """Return a prior for a model whose traffic is not known, wide on purpose.

    A typical client is taken to send up to 4 requests within four seconds and 150 in 17 minutes,
    within a factor of 2 between clients and 1.3 over time; tokens follow at 1,000 and 300
    a request, errors at a twentieth. Clients soon speak for themselves.
    """
    requests = np.array([2.5, 4.0, 6.0, 20.0, 150.0])
    rates = np.array([1.0, 1000.0, 300.0, 0.05])[:, None]
    typical = requests * rates
    typical[:, 1] = requests[1] * np.sqrt(rates[:, 0])
    mean = np.log1p(typical)
    within = np.full_like(mean, math.log(1.3) ** 2)
    between = np.full_like(mean, math.log(2.0) ** 2)
    return Cohort(mean, np.stack([within, between]))


def level_logs(
    cohort: Cohort,
    blocks: NDArray[np.float64],
    total: NDArray[np.float64],
    squares: NDArray[np.float64],
    false_alarm: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return logarithms of the levels of clients.

    Parameters
    ----------
    blocks
        (n, 1, 1): blocks seen.
    total, squares
        (n, metrics, channels): sums of log block maxima and of their squares.
    false_alarm
        (n, 1, 1): wanted probability that a benign block exceeds its level.
    """
    own = blocks / (blocks + PRIOR_BLOCKS)
    count = np.maximum(blocks, 1.0)
    own_mean = total / count
    own_variance = np.maximum(squares / count - own_mean**2, 0.0)
    mean = own * own_mean + (1.0 - own) * cohort.mean
    within, between = cohort.spread
    beta = _BETA * np.sqrt(own * own_variance + (1.0 - own) * within)
    # How busy a client is, is drawn once, not anew in each block: a normal tail, no Gumbel one.
    unknown = (1.0 - own) * np.sqrt(between) * upper_normal_quantile(false_alarm)
    gumbel = -_EULER * beta - beta * np.log(-np.log1p(-false_alarm))
    levels: NDArray[np.float64] = mean + unknown + gumbel
    return levels


def upper_normal_quantile(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a standard normal variable exceeds with probability p, for p up to a half.

    References
    ----------
    Abramowitz and Stegun, Handbook of mathematical functions, 26.2.23: off by at most 4.5e-4.

    Examples
    --------
    >>> round(float(upper_normal_quantile(np.array(0.001))), 2)
    3.09
    """
    t = np.sqrt(-2.0 * np.log(p))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    quantile: NDArray[np.float64] = t - above / below
    return quantile


def fit_cohort(calibration: Calibration) -> Cohort:
    """Fit the cohort to recorded traffic; empty arrays if there is none worth the name."""
    nothing = Cohort(np.zeros((0, CHANNELS)), np.zeros((2, 0, CHANNELS)))
    if calibration.time_us is None or calibration.client is None:
        return nothing
    maxima = _block_maxima(calibration.client, calibration.time_us, _values(calibration))
    several = [logs for logs in maxima if len(logs) >= 3]
    if len(several) < PRIOR_BLOCKS:
        return nothing
    means = np.stack([logs.mean(axis=0) for logs in several])
    within = np.stack([logs.var(axis=0, ddof=1) for logs in several]).mean(axis=0)
    return Cohort(means.mean(axis=0), np.stack([within, means.var(axis=0, ddof=1)]))


def metric_values(
    status: NDArray[np.int16],
    input_tokens: NDArray[np.int32],
    output_tokens: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Return int64 (n, metrics): what each interaction adds to each metric."""
    values = np.ones((len(status), len(METRICS)), np.int64)
    for column, metric in ((input_tokens, 1), (output_tokens, 2), (status >= 400, 3)):
        values[:, metric] = column
    return np.clip(values, 0, MAX_VALUE, out=values)


def _values(calibration: Calibration) -> NDArray[np.int64]:
    rows = len(calibration)
    unknown = np.full(rows, -1, np.int32)
    return metric_values(
        np.zeros(rows, np.int16) if calibration.status is None else calibration.status,
        unknown if calibration.input_tokens is None else calibration.input_tokens,
        unknown if calibration.output_tokens is None else calibration.output_tokens,
    )


def _block_maxima(
    client: NDArray[np.integer], time_us: NDArray[np.int64], values: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Return log block maxima (blocks, metrics, channels) of each client."""
    order = np.lexsort((time_us, client))
    _, who = np.unique(client[order], return_inverse=True)
    tick = np.maximum(time_us[order] // TICK_US, 1)
    first = np.flatnonzero(np.r_[True, (np.diff(who) != 0) | (np.diff(tick) != 0)])
    ticks = Ticks(who[first], tick[first], np.add.reduceat(values[order], first, axis=0))
    block = ticks.tick // (BLOCK_US // TICK_US)
    begins = np.r_[True, (np.diff(ticks.row) != 0) | (np.diff(block) != 0)]
    number = np.cumsum(begins) - 1
    maxima = np.zeros((int(begins.sum()), values.shape[1], CHANNELS))
    counters = [Counters(int(who[-1]) + 1) for _ in range(values.shape[1])]
    for now in ticks.rounds():
        for metric, counter in enumerate(counters):
            some = now[ticks.value[now, metric] > 0]
            came = Ticks(ticks.row[some], ticks.tick[some], ticks.value[some, metric])
            highest = maxima[number[some], metric]
            maxima[number[some], metric] = np.maximum(highest, counter.add(came))
    owner = ticks.row[begins]
    return [np.log1p(maxima[owner == one]) for one in range(int(who[-1]) + 1)]
