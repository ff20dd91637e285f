"""The log of one partition whose documents lie in Elasticsearch.

Elasticsearch has no transaction that holds documents and log together. So the log is a function
of the partition: rows come in order, replays are known by their order at the source, and the
state is saved after the documents it covers are durable. After a crash the rows since then come
again, get the same places and the same ids, and are found to be there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from streams.elastic.bulk import Item
from streams.elastic.document import Place, base36, id_prefix, with_place
from streams.ledger.log import Log, LogState
from streams.ledger.merkle import leaf_hash
from streams.store.window_document import window_row
from streams.store.windows import DEFAULT_RULES, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.ledger.log import Segment
    from streams.ledger.note import NoteSigner
    from streams.ledger.tiles import Tile
    from streams.store.row import Row
    from streams.store.windows import Closed, WindowRules

#: Ids of rows without an order that are remembered; they come again only after a short rewind.
RECENT_IDS = 1024


class Due(msgspec.Struct, frozen=True):
    """The document of a closed window, on its way: saved first, then sent under its id."""

    id: str
    body: bytes


class SavedLog(msgspec.Struct, frozen=True):
    """What is saved of a partition, schema ``index-log.v1``."""

    next_offset: int
    origin: str
    size: int
    chain: bytes
    stack: tuple[bytes, ...]
    closed: int
    blocks: tuple[bytes, ...]
    orders: dict[str, int]
    recent: tuple[str, ...]
    windows: bytes = b""
    due: tuple[Due, ...] = ()

    @property
    def state(self) -> LogState:
        """The part that is the log."""
        return LogState(self.origin, self.size, self.chain, self.stack, self.closed, self.blocks)


class Placed(NamedTuple):
    """Rows with their places, ready to be sent, and what to save when they are durable."""

    rows: tuple[Row, ...]
    places: tuple[Place, ...]
    items: tuple[Item, ...]
    after: SavedLog


class PartitionLog:
    """Gives rows their places.

    Parameters
    ----------
    saved
        Where the log stands; see `PartitionLog.begin`.
    stream
        The data stream of the documents.
    windows
        How long windows are.
    leaves
        The newest hashes of the log, as `Log` takes them.
    """

    def __init__(
        self,
        saved: SavedLog,
        stream: str,
        windows: WindowRules = DEFAULT_RULES,
        *,
        leaves: Sequence[bytes] = (),
    ) -> None:
        self.next_offset = saved.next_offset
        self._log = Log(saved.state, leaves)
        self._orders = dict(saved.orders)
        self._recent = dict.fromkeys(saved.recent)
        self._stream = stream
        self._prefix = id_prefix(saved.origin)
        self._namespace = stream.rpartition("-")[2]
        self._windows = Windows(saved.origin, windows, saved.windows)
        self._due = list(saved.due)

    @classmethod
    def begin(cls, origin: str, stream: str, windows: WindowRules = DEFAULT_RULES) -> PartitionLog:
        """Return the log of a partition that has none."""
        state = Log.begin(origin).state
        return cls(SavedLog(0, *state, {}, ()), stream, windows)

    def place(self, rows: Sequence[Row], next_offset: int) -> Placed:
        """Append the rows that have not come before."""
        fresh = [row for row in rows if self._is_fresh(row)]
        first, origin = self._log.size, self._log.origin
        leaves = [leaf_hash(row.body) for row in fresh]
        links = self._log.append(leaves)
        places = [
            Place(origin, first + number, leaf, link)
            for number, (leaf, link) in enumerate(zip(leaves, links, strict=True))
        ]
        items = [
            Item(self._stream, self._id(place.position), with_place(row.body, place))
            for row, place in zip(fresh, places, strict=True)
        ]
        self.next_offset = next_offset
        self._finish(self._windows.add(fresh, first))
        return Placed(tuple(fresh), tuple(places), tuple(items), self.saved())

    def saved(self) -> SavedLog:
        """Return what to save when everything placed so far is durable."""
        return SavedLog(
            self.next_offset,
            *self._log.state,
            dict(self._orders),
            tuple(self._recent),
            self._windows.save(),
            tuple(self._due),
        )

    def windows_due_s(self) -> float | None:
        """Return after how much silence the windows are closed; None if none are open."""
        return self._windows.seconds_until_due()

    def close_windows(self) -> None:
        """Close the windows: the partition is silent."""
        self._finish(self._windows.flush())

    def sent(self, due: Sequence[Due]) -> None:
        """Forget the documents of windows that have arrived."""
        arrived = {item.id for item in due}
        self._due = [item for item in self._due if item.id not in arrived]

    def closed(self, size: int) -> None:
        """Take into account that a checkpoint covers ``size`` records."""
        self._log.cover(size)

    def _finish(self, closed: Sequence[Closed]) -> None:
        rows = [window_row(item, self._namespace) for item in closed]
        self._due += [Due(row.id, row.body) for row in rows]

    def _id(self, position: int) -> str:
        return f"{self._prefix}.{base36(position)}"

    def _is_fresh(self, row: Row) -> bool:
        if row.origin:
            if row.order <= self._orders.get(row.origin, -1):
                return False
            self._orders[row.origin] = row.order
            return True
        if row.event_id in self._recent:
            return False
        self._recent[row.event_id] = None
        if len(self._recent) > RECENT_IDS:
            del self._recent[next(iter(self._recent))]
        return True

    def tiles(self, size: int) -> tuple[Tile, ...]:
        """Return the tiles of the first ``size`` records that no checkpoint covers yet."""
        return self._log.tiles(size)


def close(saved: SavedLog, signer: NoteSigner, time: str) -> tuple[SavedLog, Segment]:
    """Sign a saved log; return it as it is then, and the segment."""
    log = Log(saved.state)
    segment = log.close_segment(signer, time)
    return msgspec.structs.replace(saved, closed=log.closed, blocks=()), segment
