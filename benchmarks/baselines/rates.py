"""Detectors of bursts, each judging one client's arrivals alone.

References
----------
Ward, Dilillo, Eckley, Fearnhead. Poisson-FOCuS: an efficient online method for detecting count
bursts with application to gamma ray burst detection. JASA 2023.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA = 5.0
FACTOR, RULE_S = 5.0, 10.0


def fixed_rule(arrivals_s: NDArray[np.float64], past_s: float) -> list[float]:
    """Return when more than five times the mean rate arrives within ten seconds."""
    limit = FACTOR * RULE_S * (arrivals_s < past_s).sum() / past_s
    ends = np.arange(len(arrivals_s))
    first = np.searchsorted(arrivals_s, arrivals_s - RULE_S)
    found = (ends - first + 1 > max(limit, 1.0)) & (arrivals_s >= past_s)
    times: list[float] = arrivals_s[found].tolist()
    return times


def poisson_focus(arrivals_s: NDArray[np.float64], past_s: float) -> list[float]:
    """Return the seconds in which a Poisson burst of any length and strength is significant.

    The background is the mean of the past; curves are pruned as in the paper.
    """
    background = max((arrivals_s < past_s).sum() / past_s, 1e-6)
    counts = np.bincount(
        (arrivals_s[arrivals_s >= past_s] - past_s).astype(int), minlength=1
    ).tolist()
    curves: list[tuple[int, float]] = []
    times = []
    for second, count in enumerate(counts):
        curves = [(total + count, expected + background) for total, expected in curves]
        curves.append((count, background))
        # A curve that does not rise above the older ones will never be the highest.
        kept: list[tuple[int, float]] = []
        for total, expected in curves:
            rises = not kept or total * kept[-1][1] > kept[-1][0] * expected
            if total > expected and rises:
                kept.append((total, expected))
        curves = kept
        if any(x * math.log(x / b) - (x - b) > SIGMA**2 / 2 for x, b in curves):
            times.append(past_s + second + 1.0)
            curves = []
    return times
