"""The last 64 queries of each client, as sketches, and the nearest of them to a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.tables import ClientTable, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Segments

#: Queries remembered; also the most rows of one client that are worked on at once.
MEMORY = 64
#: Larger than any squared distance of sketches.
FAR_AWAY = np.int32(1 << 30)

_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Queries(NamedTuple):
    """Columns of queries, sorted like the `Segments` they go with."""

    sketch: NDArray[np.uint8]
    label: NDArray[np.int32]
    payload: NDArray[np.uint64]
    norm: NDArray[np.int32]

    @classmethod
    def of(
        cls, sketch: NDArray[np.uint8], label: NDArray[np.int32], payload: NDArray[np.uint64]
    ) -> Queries:
        """Complete the columns with squared norms."""
        wide = sketch.astype(np.int32)
        return cls(sketch, label, payload, np.einsum("ij,ij->i", wide, wide, dtype=np.int32))

    def take(self, rows: NDArray[np.intp]) -> Queries:
        """Return some rows."""
        return Queries(self.sketch[rows], self.label[rows], self.payload[rows], self.norm[rows])

    def after(self, past: Queries, axis: int = 0) -> Queries:
        """Return the queries of ``past`` and then these."""
        return Queries(
            np.concatenate([past.sketch, self.sketch], axis=axis),
            np.concatenate([past.label, self.label], axis=axis),
            np.concatenate([past.payload, self.payload], axis=axis),
            np.concatenate([past.norm, self.norm], axis=axis),
        )


class Nearest(NamedTuple):
    """What the client's memory says of each query.

    ``d2`` is the smallest squared distance to one of ``entries`` queries with the same answer
    and another payload; ``repeated`` if the very payload is among the remembered ones.
    """

    d2: NDArray[np.int32]
    entries: NDArray[np.int64]
    repeated: NDArray[np.bool_]


class SketchRing:
    """Rings of sketches, one a client."""

    def __init__(self, max_clients: int, sketch_size: int) -> None:
        self.table = ClientTable(
            max_clients,
            {
                "sketch": ((MEMORY, sketch_size), np.uint8),
                "label": ((MEMORY,), np.int32),
                "payload": ((MEMORY,), np.uint64),
                "norm": ((MEMORY,), np.int32),
                "seen": ((), np.int64),
            },
        )

    def nearest(self, segments: Segments, queries: Queries) -> Nearest:
        """Compare each query with the `MEMORY` queries of its client before it.

        No client may have more than `MEMORY` rows; ``queries`` are sorted like ``segments``.
        """
        rows = len(queries.label)
        found = Nearest(
            np.full(rows, FAR_AWAY, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
        )
        lower = 0
        for width in _BUCKETS:
            groups = np.flatnonzero((segments.counts > lower) & (segments.counts <= width))
            if len(groups):
                self._compare(segments, groups, width, queries, found)
            lower = width
        return found

    def remember(self, segments: Segments, queries: Queries) -> None:
        """Write the queries over the oldest ones."""
        slot = segments.slot
        place = (self.table["seen"][slot] + segments.rank) % MEMORY
        for name in ("sketch", "label", "payload", "norm"):
            self.table[name][slot, place] = getattr(queries, name)
        self.table["seen"][segments.slots] += segments.counts

    def recent(self, slot: int, queries: Queries, length: int) -> Queries:
        """Return the last ``length`` queries of a client: remembered, then ``queries``."""
        seen = int(self.table["seen"][slot])
        held = np.arange(max(0, seen - MEMORY), seen) % MEMORY
        joined = queries.after(self._held((slot, held)))
        return joined.take(np.arange(max(0, len(joined.label) - length), len(joined.label)))

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self.table.snapshot(slots_used)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self.table.restore(arrays)

    def _held(self, at: Any) -> Queries:
        table = self.table
        return Queries(
            table["sketch"][at], table["label"][at], table["payload"][at], table["norm"][at]
        )

    def _compare(
        self,
        segments: Segments,
        groups: NDArray[np.intp],
        width: int,
        queries: Queries,
        found: Nearest,
    ) -> None:
        """Handle clients with up to ``width`` rows, padded to that width."""
        step = np.arange(width)
        counts = segments.counts[groups]
        at = segments.starts[groups][:, None] + np.minimum(step, counts[:, None] - 1)
        slots = segments.slots[groups]
        new = queries.take(at)
        history = new.after(self._held(slots), axis=1)
        visible = _visible(self.table["seen"][slots], width)
        same_payload = (new.payload[:, :, None] == history.payload[:, None, :]) & visible
        same_payload &= (new.payload != 0)[:, :, None]
        eligible = (new.label[:, :, None] == history.label[:, None, :]) & visible & ~same_payload
        d2 = np.where(eligible, _squared_distances(new, history), FAR_AWAY)
        real = step < counts[:, None]
        target = at[real]
        found.d2[target] = d2.min(axis=2)[real]
        found.entries[target] = eligible.sum(axis=2)[real]
        found.repeated[target] = same_payload.any(axis=2)[real]


def _visible(seen: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Tell which of ring and new entries are among the `MEMORY` before each new row."""
    step = np.arange(width)
    age = (seen[:, None] - 1 - np.arange(MEMORY)) % MEMORY
    age = np.where(age < seen[:, None], age, MEMORY)
    ring = age[:, None, :] + step[None, :, None] < MEMORY
    own = np.broadcast_to(step[None, :] < step[:, None], (len(seen), width, width))
    return np.concatenate([ring, own], axis=2)


def _squared_distances(new: Queries, history: Queries) -> NDArray[np.int32]:
    """Return all squared distances, exact: 64 products of two bytes stay below 2**24."""
    left = new.sketch.astype(np.float32)
    right = history.sketch.astype(np.float32)
    dot = np.matmul(left, right.transpose(0, 2, 1)).astype(np.int32)
    total: NDArray[np.int32] = new.norm[:, :, None] + history.norm[:, None, :] - 2 * dot
    return total
