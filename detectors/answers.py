"""What an answer says of itself: label, confidence, margin, entropy, log odds in fixed point."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.batch import to_fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Sums of probabilities may be off by this much and are still probabilities, not logits.
_SUM_TOLERANCE = 1e-2
#: Resolution of sums over classes, and the largest term (only logits are larger).
_SUM_UNIT = 2.0**32
_LARGEST = 2.0**10
#: Probabilities below this are rounding.
_LEAST = 1e-9


class Answers(NamedTuple):
    """Columns of `detectors.batch.Batch`."""

    label: NDArray[np.int32]
    confidence: NDArray[np.int32]
    margin: NDArray[np.int32]
    entropy: NDArray[np.int32]
    log_odds: NDArray[np.int32]


def answers_of(scores: NDArray[np.float32], label: NDArray[np.int32]) -> Answers:
    """Summarise the answers of a classifier.

    Parameters
    ----------
    scores
        float (n, c), c >= 2: probabilities; rows that are none are taken for logits.
    label
        int32 (n,): the answered class; where it is -1 the highest score decides.

    Raises
    ------
    ValueError
        If a score is NaN or infinite.
    """
    values = np.ascontiguousarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("scores hold NaN or infinity")
    rows = len(values)
    if not rows or values.shape[1] < 2:
        unknown = np.full(rows, -1, np.int32)
        copies = (unknown.copy() for _ in range(4))
        return Answers(np.asarray(label, np.int32), *copies)
    share = _probabilities(values)
    top = np.partition(share, -2, axis=1)[:, -2:]
    logs = np.log(np.maximum(share, 1e-30))
    return Answers(
        np.where(label < 0, share.argmax(axis=1), label).astype(np.int32),
        to_fixed(top[:, 1]),
        to_fixed(top[:, 1] - top[:, 0]),
        to_fixed(np.maximum(-_row_sums(share * logs), 0.0)),
        to_fixed(np.log(np.maximum(top[:, 1], _LEAST) / np.maximum(top[:, 0], _LEAST))),
    )


def _probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    total = _row_sums(values)
    are = (values.min(axis=1) >= -1e-6) & (np.abs(total - 1.0) <= _SUM_TOLERANCE)
    exponent = np.exp(values - values.max(axis=1, keepdims=True))
    softmax = exponent / _row_sums(exponent)[:, None]
    return np.where(are[:, None], np.clip(values, 0.0, 1.0), softmax)


def _row_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add as integers: the order of additions, which depends on the shape, cannot matter."""
    scaled = np.rint(np.clip(values, -_LARGEST, _LARGEST) * _SUM_UNIT).astype(np.int64)
    total: NDArray[np.float64] = scaled.sum(axis=1) / _SUM_UNIT
    return total
