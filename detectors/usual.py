"""What a client's evidence usually is: the mean of all that was there before the present rise.

Kept as three integers a client: the total over settled rows, their number, and the total of the
rise that is still open. A rise settles when the evidence is back at zero; one that alarmed never
does, or an attacker would teach what is usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.base import Usual
from detectors.batch import FIXED_POINT_ONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.base import Segments

TOTAL, ROWS, OPEN = range(3)


def usual_of(total: int, rows: int, limit: int) -> Usual:
    """Return the mean of settled evidence in fixed point, and the threshold in the same unit.

    Examples
    --------
    >>> usual_of(3 * FIXED_POINT_ONE, 6, 9 * FIXED_POINT_ONE)
    Usual(score='log_e', own=0.5, over=6, limit=9.0)
    """
    own = total / max(1, rows) / FIXED_POINT_ONE
    return Usual("log_e", own, rows, limit / FIXED_POINT_ONE)


def settled(
    own: NDArray[np.int64],
    segments: Segments,
    strongest: NDArray[np.int64],
    zero: NDArray[np.intp],
    length: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return what is kept of clients after further rows, none of which alarmed.

    Parameters
    ----------
    own
        int64 (groups, 3): what was kept of them.
    strongest
        int64 (n,): evidence after each row, sorted like ``segments``.
    zero
        intp (groups,): position of the last row without evidence, negative if there is none.
    length
        int64 (groups,): rows of the open rise, before these.
    """
    through = np.cumsum(strongest)
    starts, ends = segments.starts, segments.starts + segments.counts - 1
    over = zero >= 0
    opened = own[:, OPEN] + through[ends] - through[starts] + strongest[starts]
    left = np.where(over, through[ends] - through[zero], opened)
    rows = np.where(over, length + zero + 1 - starts, 0)
    return np.stack([own[:, TOTAL] + opened - left, own[:, ROWS] + rows, left], axis=1)
