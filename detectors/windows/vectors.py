"""What a client did within ten seconds, as a vector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.batch import FIXED_POINT_ONE
from detectors.tables import State, nest, pack_texts, pick, unpack_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Piece
    from detectors.windows.clock import Windows

FEATURES = ("log_events", "confidence", "entropy", "near", "far", "errors", "log_tokens")
#: events, answers with scores, confidence, entropy, near, far, errors, tokens
_SUMS = 8
WIDTH_US = 10_000_000


class Window(NamedTuple):
    """A closed window of a client; ``seen`` counts all of its interactions until then."""

    number: int
    client: str
    sums: list[int]
    last_us: int
    last_id: str
    seen: int

    @property
    def events(self) -> int:
        """Interactions within the window."""
        return self.sums[0]

    @property
    def start_us(self) -> int:
        """Event time at which the window begins."""
        return self.number * WIDTH_US

    def vector(self) -> list[float]:
        """Return the features, in the order of `FEATURES`."""
        events, scored, confidence, entropy, near, far, errors, tokens = self.sums
        answers = max(scored, 1) * FIXED_POINT_ONE
        return [
            math.log1p(events),
            confidence / answers,
            entropy / answers,
            near / (events * FIXED_POINT_ONE),
            far / (events * FIXED_POINT_ONE),
            errors / events,
            math.log1p(tokens / events),
        ]


class _Open:
    __slots__ = ("last_id", "last_us", "seen", "sums")

    def __init__(self, sums: list[int], last_us: int, last_id: str, seen: int) -> None:
        self.sums, self.last_us, self.last_id, self.seen = sums, last_us, last_id, seen


class OpenWindows:
    """Windows that still gather rows, by number and client."""

    def __init__(self, max_clients: int) -> None:
        self._max_open = 4 * max_clients
        self._open: dict[int, dict[str, _Open]] = {}
        self._count = 0

    @property
    def bytes_per_client(self) -> int:
        """Roughly what an open window takes."""
        return 8 * (_SUMS + 6)

    def add(self, piece: Piece, windows: Windows) -> None:
        """Add the rows that are on time."""
        segments, batch = piece.segments, piece.batch
        keep = windows.on_time[segments.order]
        rows = segments.order[keep]
        if not len(rows):
            return
        slot, index = segments.slot[keep], windows.number[rows]
        sort = np.lexsort((index, slot))
        rows, slot, index = rows[sort], slot[sort], index[sort]
        new = np.r_[True, (slot[1:] != slot[:-1]) | (index[1:] != index[:-1])]
        starts = np.flatnonzero(new)
        sums = np.add.reduceat(_columns(piece)[rows], starts, axis=0).tolist()
        last = rows[np.r_[starts[1:], len(rows)] - 1]
        # In order of arrival, so that a bound that is hit is hit by the same client.
        for at in np.argsort(rows[starts]).tolist():
            row = int(last[at])
            self._merge(
                int(index[starts[at]]),
                piece.client(row),
                _Open(
                    sums[at],
                    int(batch.time_us[row]),
                    batch.interaction_id(row),
                    int(piece.events[row]),
                ),
            )

    def due(self, closed_to: int | None) -> list[Window]:
        """Take out the windows below a number (all if None), by number and client."""
        numbers = sorted(n for n in self._open if closed_to is None or n < closed_to)
        taken = []
        for number in numbers:
            clients = self._open.pop(number)
            self._count -= len(clients)
            for client in sorted(clients):
                held = clients[client]
                taken.append(
                    Window(number, client, held.sums, held.last_us, held.last_id, held.seen)
                )
        return taken

    def snapshot(self) -> State:
        """Return all state as arrays."""
        entries = [(n, c, held) for n, clients in self._open.items() for c, held in clients.items()]
        rows = [(number, held.last_us, held.seen, *held.sums) for number, _, held in entries]
        return {
            "rows": np.array(rows, np.int64),
            **nest("clients", pack_texts(client for _, client, _ in entries)),
            **nest("ids", pack_texts(held.last_id for _, _, held in entries)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._open, self._count = {}, 0
        clients = unpack_texts(pick("clients", arrays))
        ids = unpack_texts(pick("ids", arrays))
        rows = arrays["rows"].reshape(-1, 3 + _SUMS).tolist()
        for row, client, last_id in zip(rows, clients, ids, strict=True):
            number, last_us, seen, *sums = row
            self._merge(number, client, _Open(sums, last_us, last_id, seen))

    def _merge(self, number: int, client: str, part: _Open) -> None:
        clients = self._open.setdefault(number, {})
        held = clients.get(client)
        if held is None:
            if self._count < self._max_open:
                clients[client] = part
                self._count += 1
            return
        held.sums = [a + b for a, b in zip(held.sums, part.sums, strict=True)]
        held.last_us, held.last_id, held.seen = part.last_us, part.last_id, part.seen


def _columns(piece: Piece) -> NDArray[np.int64]:
    """Return int64 (n, `_SUMS`): what each row adds to its window."""
    batch = piece.batch
    scored = batch.confidence >= 0
    tokens = np.maximum(batch.input_tokens, 0) + np.maximum(batch.output_tokens, 0).astype(np.int64)
    return np.stack(
        [
            np.ones(len(batch), np.int64),
            scored,
            np.where(scored, batch.confidence, 0),
            np.where(scored, batch.entropy, 0),
            piece.near_log_e,
            piece.far_log_e,
            batch.status >= 400,
            tokens,
        ],
        axis=1,
    ).astype(np.int64)
