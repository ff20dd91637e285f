"""How rare a score is that is stranger than any seen: the tail goes on as it begins.

Ranks alone say of no score that it is rarer than one in the size of the sample, however strange it
is. Beyond the sample, scores are taken to thin out as a power of their size, or logarithms
exponentially, as they do within its last tenth; the power is lowered by two standard errors, so
that small samples promise less.

References
----------
Hill. A simple general approach to inference about the tail of a distribution. 1975.
Houle. Local intrinsic dimensionality I. 2017 (the same of distances, towards zero).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.evidence import TAIL_LEVELS, tail_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: The tail is this share of a sample, at most so many; fewer than the least say nothing of it.
SHARE, MOST, LEAST = 0.1, 250, 20
#: Beyond this logarithm there is no score.
_MOST_LOG = 40.0


def high_tail(scores: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the thresholds of negated scores where high ones are strange."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(np.sort(scores), 0).astype(np.float64))
    return _high(scores, logs, lambda beyond: np.exp(np.minimum(beyond, _MOST_LOG)))


def exponential_tail(scores: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the thresholds of negated scores that are logarithms already, as log odds are."""
    return _high(scores, np.sort(scores).astype(np.float64), lambda beyond: beyond)


def low_tail(distances: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the thresholds of positive scores where low ones are strange."""
    kept = tail_thresholds(distances)
    if len(distances):
        strangeness = -np.log(np.maximum(np.sort(distances)[::-1], 1).astype(np.float64))
        beyond = np.exp(-_continued(strangeness))
        rare = _beyond_sample(len(distances)) & (beyond > 0)
        kept[rare] = np.floor(beyond[rare]).astype(np.int64)
    return kept


def _high(
    scores: NDArray[np.integer],
    logs: NDArray[np.float64],
    score_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Return thresholds; ``logs`` are those of the sorted scores, ``score_of`` goes back."""
    kept = tail_thresholds(-scores)
    if len(scores):
        beyond = _continued(logs)
        rare = _beyond_sample(len(scores)) & np.isfinite(beyond)
        kept[rare] = -np.ceil(score_of(beyond[rare])).astype(np.int64)
    return kept


def _beyond_sample(size: int) -> NDArray[np.bool_]:
    rare: NDArray[np.bool_] = TAIL_LEVELS * (size + 1) < 1 - 1e-9
    return rare


def _continued(strangeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how strange scores of each of `TAIL_LEVELS` are, given the logarithms of a sample.

    Infinite where the sample says nothing of its tail.
    """
    size = len(strangeness)
    count = min(MOST, int(size * SHARE))
    if count < LEAST or not np.isfinite(strangeness[-count - 1]):
        return np.full(len(TAIL_LEVELS), np.inf)
    begins = strangeness[-count - 1]
    spread = (strangeness[-count:] - begins).mean() * (1 + 2 / np.sqrt(count))
    grown = begins + spread * np.log(count / (size * TAIL_LEVELS))
    continued: NDArray[np.float64] = np.maximum(grown, strangeness[-1])
    return continued
