"""Evidence of queries that are odd by themselves: foreign, or close to the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.base import Segments
    from detectors.query.measure import Measured
    from detectors.query.runs import Runs


#: Channels of odd queries.
ODD = ("far", "margin")


def odd_evidence(
    measured: Measured,
    segments: Segments,
    runs: Runs,
    offset: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return foreign and margin evidence (n, 2).

    What is odd about an input is odd about its close likenesses too: a query about the same thing
    as an earlier one adds only what makes it more foreign, an exact repetition adds nothing, and
    a run counts once.
    """
    odd = np.stack([measured.foreign, measured.margin], axis=1)
    odd = np.where(odd > 0, np.maximum(odd - offset, 0), odd)
    alike = measured.alike
    odd[alike, 0] = np.maximum(odd[alike, 0] - measured.told[alike], np.minimum(odd[alike, 0], 0))
    odd[alike, 1] = np.minimum(odd[alike, 1], 0)
    odd[measured.repeated] = 0
    return runs.excess(segments, measured.label, odd)
