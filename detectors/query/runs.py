"""Runs of queries with one answer: what is odd about a thing is said once, not by every copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.tables import ClientTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.base import Segments

#: After so many queries with one answer a new run begins.
LENGTH = 12
_GAP = 1 << 40


class Runs:
    """Lets evidence count once a run: each query by how far it exceeds the run's earlier ones.

    Augmented copies and films of one odd scene are odd alike, and get the same answer; queries
    from everywhere, which evidence must pile up on, get changing ones. Evidence against guilt
    counts in full.
    """

    def __init__(self, max_clients: int, channels: int) -> None:
        self.table = ClientTable(
            max_clients,
            {
                "label": ((), np.int32),
                "place": ((), np.int16),
                "highest": ((channels,), np.int32),
            },
        )

    def excess(
        self, segments: Segments, label: NDArray[np.int32], log_e: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return what evidence (n, channels) remains; sorted like ``segments``."""
        starts, slots = segments.starts, segments.slots
        table = self.table
        place = self._places(segments, label)
        begins = place == 0
        # A run that goes on from before begins with what it has reached.
        carried = np.zeros_like(log_e)
        first = starts[~begins[starts]]
        carried[first] = table["highest"][slots[~begins[starts]]]
        run = np.cumsum(begins | np.isin(np.arange(len(label)), starts))[:, None] * _GAP
        positive = np.maximum(log_e, 0)
        reached = np.maximum.accumulate(np.maximum(positive, carried) + run, axis=0) - run
        before = np.r_[carried[:1], reached[:-1]]
        fresh = begins.copy()
        fresh[starts] = True
        before[fresh] = carried[fresh]
        ends = starts + segments.counts - 1
        table["highest"][slots] = reached[ends]
        table["label"][slots] = label[ends]
        table["place"][slots] = place[ends] + 1
        left: NDArray[np.int64] = np.maximum(positive - before, 0) + np.minimum(log_e, 0)
        return left

    def _places(self, segments: Segments, label: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the place of each query within its run."""
        starts, slots = segments.starts, segments.slots
        rows = np.arange(len(label))
        changed = np.r_[True, label[1:] != label[:-1]]
        held = self.table["place"][slots].astype(np.intp)
        goes_on = (held > 0) & (self.table["label"][slots] == label[starts])
        changed[starts] = True
        stretch = np.maximum.accumulate(np.where(changed, rows, 0))
        offset = np.zeros(len(label), np.intp)
        offset[starts] = np.where(goes_on, held, 0)
        place: NDArray[np.intp] = (rows - stretch + offset[stretch]) % LENGTH
        return place
