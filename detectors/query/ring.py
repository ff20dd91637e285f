"""The last queries of each client, as codes, and the nearest of them to a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.tables import ClientTable, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Segments

#: Queries remembered.
MEMORY = 128
#: The most rows of one client that are worked on at once.
AT_ONCE = 64
#: Larger than any rank of how common a query looks.
COMMON = np.int8(127)
#: Larger than any squared distance of codes.
FAR_AWAY = np.int32(1 << 30)
#: Log odds are remembered in units of 2**-10.
_ODDS_SHIFT = 6

_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Queries(NamedTuple):
    """Columns of queries, sorted like the `Segments` they go with."""

    code: NDArray[np.uint8]
    label: NDArray[np.uint16]
    payload: NDArray[np.uint32]
    odds: NDArray[np.int16]
    strange: NDArray[np.int8]

    @classmethod
    def of(
        cls,
        code: NDArray[np.uint8],
        label: NDArray[np.int32],
        payload: NDArray[np.uint64],
        log_odds: NDArray[np.int32],
        strange: NDArray[np.intp],
    ) -> Queries:
        """Shorten what is remembered: labels, payloads and log odds.

        ``strange`` is a rank: how common an input looks, 0 to 127.
        """
        mark = (payload ^ (payload >> np.uint64(32))).astype(np.uint32)
        return cls(
            code,
            label.astype(np.uint16),
            # Zero stands for no payload.
            np.where(payload == 0, np.uint32(0), np.maximum(mark, np.uint32(1))),
            (log_odds >> _ODDS_SHIFT).astype(np.int16),
            strange.astype(np.int8),
        )

    def take(self, rows: NDArray[np.intp]) -> Queries:
        """Return some rows."""
        return Queries(*[column[rows] for column in self])  # type: ignore[arg-type]  # same columns

    def after(self, past: Queries, axis: int = 0) -> Queries:
        """Return the queries of ``past`` and then these."""
        joined = [
            np.concatenate([getattr(past, name), getattr(self, name)], axis=axis)
            for name in self._fields
        ]
        return Queries(*joined)


class Nearest(NamedTuple):
    """What the client's memory says of each query.

    Attributes
    ----------
    d2, entries
        Smallest squared distance to a query with the same answer and another payload, and how
        many such there are.
    other_d2, others
        The same for queries with another answer.
    crowd, lower, mixed
        Queries of another payload within the given distance, how many of these the model was no
        surer of, and how many had another answer.
    likeness, oddest
        Largest and smallest rank in ``strange`` within the crowd: how common its most common
        query looks, and its oddest one.
    age
        How many queries ago the nearest one was, 0 if there is none.
    repeated
        The very payload is among the remembered ones.
    """

    d2: NDArray[np.int64]
    entries: NDArray[np.int64]
    other_d2: NDArray[np.int64]
    others: NDArray[np.int64]
    crowd: NDArray[np.int64]
    lower: NDArray[np.int64]
    mixed: NDArray[np.int64]
    likeness: NDArray[np.int64]
    oddest: NDArray[np.int64]
    age: NDArray[np.int64]
    repeated: NDArray[np.bool_]

    @classmethod
    def none(cls, rows: int) -> Nearest:
        """Return what an empty memory says."""

        def count() -> NDArray[np.int64]:
            return np.zeros(rows, np.int64)

        def far() -> NDArray[np.int64]:
            return np.full(rows, FAR_AWAY, np.int64)

        return cls(
            d2=far(),
            entries=count(),
            other_d2=far(),
            others=count(),
            crowd=count(),
            lower=count(),
            mixed=count(),
            likeness=count(),
            oddest=count() + COMMON,
            age=count(),
            repeated=np.zeros(rows, np.bool_),
        )


class Ring:
    """Rings of codes, one a client."""

    def __init__(self, max_clients: int, code_size: int) -> None:
        self.table = ClientTable(
            max_clients,
            {
                "code": ((MEMORY, code_size), np.uint8),
                "label": ((MEMORY,), np.uint16),
                "payload": ((MEMORY,), np.uint32),
                "odds": ((MEMORY,), np.int16),
                "strange": ((MEMORY,), np.int8),
                "seen": ((), np.int64),
            },
        )

    def nearest(self, segments: Segments, queries: Queries, close_d2: NDArray[np.int64]) -> Nearest:
        """Compare each query with the `MEMORY` queries of its client before it.

        No client may have more than `AT_ONCE` rows; ``queries`` are sorted like ``segments``, and
        so is ``close_d2``: the squared distance of queries about the same thing.
        """
        found = Nearest.none(len(queries.label))
        lower = 0
        for width in _BUCKETS:
            groups = np.flatnonzero((segments.counts > lower) & (segments.counts <= width))
            if len(groups):
                self._compare(segments, groups, width, (queries, close_d2), found)
            lower = width
        return found

    def remember(self, segments: Segments, queries: Queries) -> None:
        """Write the queries over the oldest ones."""
        slot = segments.slot
        place = (self.table["seen"][slot] + segments.rank) % MEMORY
        for name, column in queries._asdict().items():
            self.table[name][slot, place] = column
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
        return Queries(*(self.table[name][at] for name in Queries._fields))

    def _compare(
        self,
        segments: Segments,
        groups: NDArray[np.intp],
        width: int,
        given: tuple[Queries, NDArray[np.int64]],
        found: Nearest,
    ) -> None:
        """Handle clients with up to ``width`` rows, padded to that width."""
        queries, close_d2 = given
        step = np.arange(width)
        counts = segments.counts[groups]
        at = segments.starts[groups][:, None] + np.minimum(step, counts[:, None] - 1)
        slots = segments.slots[groups]
        new = queries.take(at)
        history = new.after(self._held(slots), axis=1)
        age = _ages(self.table["seen"][slots], width)
        visible = age <= MEMORY
        same_payload = (new.payload[:, :, None] == history.payload[:, None, :]) & visible
        same_payload &= (new.payload != 0)[:, :, None]
        eligible = visible & ~same_payload
        d2 = np.where(eligible, _squared_distances(new, history), FAR_AWAY)
        same = new.label[:, :, None] == history.label[:, None, :]
        same_d2 = np.where(same, d2, FAR_AWAY)
        entries = (same & eligible).sum(axis=2)
        close = d2 <= close_d2[at][:, :, None]
        lower = close & (history.odds[:, None, :] <= new.odds[:, :, None])
        nearest = d2.argmin(axis=2)[:, :, None]
        last = np.take_along_axis(age, nearest, axis=2)[:, :, 0]
        real = step < counts[:, None]
        target = at[real]
        said = Nearest(
            d2=same_d2.min(axis=2),
            entries=entries,
            other_d2=np.where(same, FAR_AWAY, d2).min(axis=2),
            others=eligible.sum(axis=2) - entries,
            crowd=close.sum(axis=2),
            lower=lower.sum(axis=2),
            mixed=(close & ~same).sum(axis=2),
            likeness=np.where(close, history.strange[:, None, :], 0).max(axis=2),
            oddest=np.where(close, history.strange[:, None, :], COMMON).min(axis=2),
            age=np.where(eligible.any(axis=2), last, 0),
            repeated=same_payload.any(axis=2),
        )
        for name in Nearest._fields:
            getattr(found, name)[target] = getattr(said, name)[real]


def _ages(seen: NDArray[np.int64], width: int) -> NDArray[np.int16]:
    """Return how many queries ago ring and new entries were, beyond `MEMORY` for the unseen."""
    step = np.arange(width, dtype=np.int16)
    age = (seen[:, None] - 1 - np.arange(MEMORY)) % MEMORY
    held = np.where(age < seen[:, None], age + 1, 2 * MEMORY).astype(np.int16)
    ring = held[:, None, :] + step[None, :, None]
    own = step[:, None] - step[None, :]
    own = np.where(own > 0, own, 2 * MEMORY).astype(np.int16)
    own = np.broadcast_to(own, (len(seen), width, width))
    return np.concatenate([ring, own], axis=2)


def _squared_distances(new: Queries, history: Queries) -> NDArray[np.int32]:
    """Return all squared distances: exact, for they stay below 2**24."""
    left, right = new.code.astype(np.float32), history.code.astype(np.float32)
    dot = np.matmul(left, right.transpose(0, 2, 1))
    norms = (np.einsum("gij,gij->gi", part, part) for part in (left, right))
    new_norm, old_norm = norms
    total: NDArray[np.int32] = (new_norm[:, :, None] + old_norm[:, None, :] - 2 * dot).astype(
        np.int32
    )
    return total
