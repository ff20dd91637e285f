"""Which payloads a client has sent before, longer ago than its sketches are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.tables import ClientTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.base import Segments

#: Places of the cache; a payload is forgotten when another one takes its place.
PLACES = 256


class Repeats:
    """A direct-mapped cache of payload fingerprints a client.

    An odd input that is sent again is no new evidence, however late it comes.
    """

    def __init__(self, max_clients: int) -> None:
        self.table = ClientTable(max_clients, {"print": ((PLACES,), np.uint16)})

    def seen(self, segments: Segments, payload: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which payloads were there before, and remember all; sorted like ``segments``."""
        place = (payload % np.uint64(PLACES)).astype(np.intp)
        # Zero stands for an empty place.
        mark = ((payload >> np.uint64(16)).astype(np.uint16) | np.uint16(1)) * (payload != 0)
        slot = segments.slot
        order = np.lexsort((place, slot))
        place, slot, mark = place[order], slot[order], mark[order].astype(np.uint16)
        first = np.r_[True, (place[1:] != place[:-1]) | (slot[1:] != slot[:-1])]
        before = np.where(first, self.table["print"][slot, place], np.r_[mark[:1], mark[:-1]])
        known = np.empty(len(payload), np.bool_)
        known[order] = (before == mark) & (mark != 0)
        last = np.r_[first[1:], True]
        self.table["print"][slot[last], place[last]] = mark[last]
        return known
