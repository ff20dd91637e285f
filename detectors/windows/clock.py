"""Event-time windows that close when the watermark has passed them by the allowed lateness."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.batch import Batch


class Windows(NamedTuple):
    """Windows of the rows of a batch.

    Attributes
    ----------
    number
        int64 (n,): number of the window each row lies in.
    on_time
        bool (n,): the window was still open when the row arrived.
    closed_to
        int64 (n,): windows below this one are closed once the row has arrived.
    """

    number: NDArray[np.int64]
    on_time: NDArray[np.bool_]
    closed_to: NDArray[np.int64]

    def closing_row(self, window: int) -> int:
        """Return the row whose arrival closed a window."""
        return int(np.searchsorted(self.closed_to, window, side="right"))


class WindowClock:
    """Tells which windows are open; the same however the stream is cut."""

    def __init__(self, width_us: int, lateness_us: int) -> None:
        self.width_us = width_us
        self._lateness_us = lateness_us
        self.closed_to = 0
        self.late = 0

    def advance(self, batch: Batch) -> Windows:
        """Move on over the rows of a batch; late ones are counted."""
        number = batch.time_us // self.width_us
        reached = (batch.watermark_us - self._lateness_us) // self.width_us
        closed_to = np.maximum(np.maximum.accumulate(reached), self.closed_to)
        on_time = number >= closed_to
        self.late += int(len(number) - on_time.sum())
        if len(number):
            self.closed_to = int(closed_to[-1])
        return Windows(number, on_time, closed_to)

    def snapshot(self) -> NDArray[np.int64]:
        """Return the state."""
        return np.array([self.closed_to, self.late], np.int64)

    def restore(self, state: NDArray[np.int64]) -> None:
        """Bring back what `snapshot` returned."""
        self.closed_to, self.late = state.tolist()
