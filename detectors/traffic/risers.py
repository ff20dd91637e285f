"""Which clients send more than they used to, by the minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.tables import ClientTable, State
from detectors.traffic.counters import Ticks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MINUTE_US = 60_000_000
#: A client's mean forgets with this time constant in minutes, and begins with an hour of silence.
_MEMORY, _SILENCE = 240, 60


class Risers:
    """Each client's requests of this minute and the one before, and its mean of earlier ones."""

    def __init__(self, max_clients: int) -> None:
        self.table = ClientTable(
            max_clients,
            {
                "first": ((), np.int32),
                "minute": ((), np.int32),
                "count": ((), np.int32),
                "before": ((), np.int32),
                "mean": ((), np.float64),
            },
        )

    def add(self, slot: NDArray[np.intp], time_us: NDArray[np.int64]) -> None:
        """Count requests; late ones count in the newest minute of their client."""
        if not len(slot):
            return
        order = np.argsort(slot, kind="stable")
        slot = slot[order]
        minute = np.clip(time_us[order] // MINUTE_US, 1, np.iinfo(np.int32).max)
        number = np.cumsum(np.r_[False, slot[1:] != slot[:-1]])
        gap = number << 33
        known = self.table["minute"][slot]
        minute = np.maximum.accumulate(np.maximum(minute, known) + gap) - gap
        first = np.flatnonzero(np.r_[True, (np.diff(slot) != 0) | (np.diff(minute) != 0)])
        counts = np.diff(np.r_[first, len(slot)])
        ticks = Ticks(slot[first], minute[first], counts)
        for now in ticks.rounds():
            self._add(ticks.take(now))

    def rising(self, slots: NDArray[np.intp], minute: int) -> NDArray[np.int64]:
        """Return the requests of two minutes of clients that rise above their mean, else 0."""
        table = self.table
        last, count = table["minute"][slots], table["count"][slots].astype(np.int64)
        recent = np.where(last >= minute - 1, count, 0)
        recent += np.where(last >= minute, table["before"][slots], 0)
        usual = 2.0 * table["mean"][slots]
        return np.where(recent > 2.0 * usual + np.sqrt(usual), recent, 0)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what a snapshot of the table returned."""
        self.table.restore(arrays)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self.table.snapshot(slots_used)

    def _add(self, ticks: Ticks) -> None:
        """Count at most one minute a client."""
        table, slots = self.table, ticks.row
        fresh = table["minute"][slots] == 0
        last = np.where(fresh, ticks.tick, table["minute"][slots])
        table["first"][slots] = np.where(fresh, ticks.tick, table["first"][slots])
        passed = ticks.tick - last
        moved = passed > 0
        # The minute that is over enters the mean, and silent ones after it.
        gain = 1.0 / np.minimum(_SILENCE + last - table["first"][slots] + 1, _MEMORY)
        mean, count = table["mean"][slots], table["count"][slots]
        mean = (mean + gain * (count - mean)) * (1.0 - gain) ** np.maximum(passed - 1, 0)
        table["mean"][slots] = np.where(moved, mean, table["mean"][slots])
        before = np.where(passed == 1, count, 0)
        table["before"][slots] = np.where(moved, before, table["before"][slots])
        table["count"][slots] = np.where(moved, 0, count) + ticks.value
        table["minute"][slots] = ticks.tick
