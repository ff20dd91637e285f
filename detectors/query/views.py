"""Two views of each client, to compare a new query with in detail.

Kept are the last query, and the last one that was about the same thing as an earlier query: who
searches between ordinary queries is still compared with what it asked before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.tables import ClientTable, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Segments

_PLACES = 2


class Shown(NamedTuple):
    """What a query is compared by: uint8 views (n, v) and codes (n, k)."""

    view: NDArray[np.uint8]
    code: NDArray[np.uint8]


class Views:
    """The last two views of clients."""

    def __init__(self, max_clients: int, view_size: int, code_size: int) -> None:
        self.table = ClientTable(
            max_clients,
            {
                "view": ((_PLACES, view_size), np.uint8),
                "code": ((_PLACES, code_size), np.uint8),
                "held": ((_PLACES,), np.bool_),
            },
        )

    def compared(
        self,
        segments: Segments,
        shown: Shown,
        last: tuple[NDArray[np.intp], NDArray[np.intp]],
        rows: NDArray[np.intp],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the view that is nearest to each of ``rows``, and its squared distance by code.

        Parameters
        ----------
        last
            Of each place, as `last_kept` gives it for the queries, sorted like ``segments``.
        rows
            Sorted positions; distances are -1 where there is nothing to compare with.
        """
        slot, start = segments.slot[rows], np.repeat(segments.starts, segments.counts)[rows]
        view = np.zeros((len(rows), shown.view.shape[1]), np.uint8)
        best = np.full(len(rows), -1, np.int64)
        for place in range(_PLACES):
            before = last[place][rows]
            own = before >= start
            code = np.where(
                own[:, None], shown.code[np.maximum(before, 0)], self.table["code"][slot, place]
            )
            step = shown.code[rows].astype(np.int32) - code
            d2 = np.einsum("ij,ij->i", step, step).astype(np.int64)
            d2[~own & ~self.table["held"][slot, place]] = -1
            better = (d2 >= 0) & ((best < 0) | (d2 < best))
            best[better] = d2[better]
            view[better & own] = shown.view[before[better & own]]
            stored = better & ~own
            view[stored] = self.table["view"][slot[stored], place]
        return view, best

    def remember(
        self,
        segments: Segments,
        shown: Shown,
        last: tuple[NDArray[np.intp], NDArray[np.intp]],
    ) -> None:
        """Keep the last query of each place."""
        ends = segments.starts + segments.counts
        for place in range(_PLACES):
            newest = last[place][ends]
            fresh = newest >= segments.starts
            slots, rows = segments.slots[fresh], newest[fresh]
            self.table["view"][slots, place] = shown.view[rows]
            self.table["code"][slots, place] = shown.code[rows]
            self.table["held"][slots, place] = True

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self.table.snapshot(slots_used)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self.table.restore(arrays)


def last_kept(kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the last kept position before each position and the end, -1 if there is none."""
    last: NDArray[np.intp] = np.r_[-1, np.where(kept, np.arange(len(kept)), -1)]
    return np.maximum.accumulate(last)
