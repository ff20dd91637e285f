"""A log: records in order, a hash chain through them and a Merkle tree over them.

A log belongs to one partition of one topic, so that it can move between workers with it. Its
origin names it for ever: a log whose state is lost is not continued but begun anew, under
another origin, which an auditor sees.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from streams.ledger.merkle import BLOCK, Edge
from streams.ledger.note import Checkpoint
from streams.ledger.tiles import cut_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.ledger.note import NoteSigner
    from streams.ledger.tiles import Tile

_GENESIS = b"vedette chain v1\n"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A closed stretch of a log, schema ``checkpoint.v1``: records ``[first, size)``.

    ``note`` is the signed checkpoint over everything up to ``size``, ``blocks`` are the roots
    (hex) of the blocks of 256 records that ended in the stretch: with them a proof needs no
    other records than those of its own block, and they add up to the signed root.
    """

    origin: str
    first: int
    size: int
    blocks: tuple[str, ...]
    note: str


class Closing(NamedTuple):
    """A segment that was closed, and the tiles of its records."""

    segment: Segment
    tiles: tuple[Tile, ...]


class LogState(NamedTuple):
    """What a log needs to go on after a restart."""

    origin: str
    size: int
    chain: bytes
    stack: tuple[bytes, ...]
    closed: int
    blocks: tuple[bytes, ...]


def closed_at(state: LogState, closed: int) -> LogState:
    """Return the same state, of which a checkpoint covers ``closed`` records."""
    open_blocks = state.size // BLOCK - closed // BLOCK
    blocks = state.blocks[len(state.blocks) - open_blocks :] if open_blocks > 0 else ()
    return state._replace(closed=closed, blocks=blocks)


def first_of_tiles(closed: int) -> int:
    """Return the record that the next tiles begin at: blocks are published whole."""
    return closed // BLOCK * BLOCK


def genesis(origin: str) -> bytes:
    """Return what the first link of a log holds on to."""
    return sha256(_GENESIS + origin.encode()).digest()


def link(previous: bytes, leaf: bytes) -> bytes:
    """Return the next link of the chain."""
    return sha256(previous + leaf).digest()


def new_origin(name: str, topic: str, partition: int) -> str:
    """Return the name of a new log; no two are the same."""
    return f"{name}/{topic}/{partition}/{secrets.token_hex(6)}"


class Log:
    """Chain and tree of one log as they grow.

    Parameters
    ----------
    state
        Where it stands; see `Log.begin` for a new one.
    leaves
        The newest hashes, from `first_of_tiles` on; without them tiles begin later.
    """

    def __init__(self, state: LogState, leaves: Sequence[bytes] = ()) -> None:
        self.origin = state.origin
        self.chain = state.chain
        self.closed = state.closed
        self._edge = Edge(state.size, state.stack)
        self._edge.blocks.extend(state.blocks)
        self._leaves = list(leaves)

    @classmethod
    def begin(cls, origin: str) -> Log:
        """Return a log without records."""
        return cls(LogState(origin, 0, genesis(origin), (), 0, ()))

    @property
    def size(self) -> int:
        """How many records it holds."""
        return self._edge.size

    @property
    def open_records(self) -> int:
        """How many of them no checkpoint covers yet."""
        return self._edge.size - self.closed

    @property
    def state(self) -> LogState:
        """What `Log` needs to go on."""
        edge = self._edge
        return LogState(
            self.origin, edge.size, self.chain, edge.stack, self.closed, tuple(edge.blocks)
        )

    def append(self, leaves: Sequence[bytes]) -> list[bytes]:
        """Add records by their leaf hashes and return their links."""
        links, chain = [], self.chain
        for leaf in leaves:
            chain = sha256(chain + leaf).digest()
            links.append(chain)
        self.chain = chain
        self._edge.extend(leaves)
        self._leaves += leaves
        return links

    def copy(self) -> Log:
        """Return a log that grows by itself."""
        return Log(self.state, self._leaves)

    def tiles(self, size: int) -> tuple[Tile, ...]:
        """Return the tiles of the first ``size`` records that no checkpoint covers yet."""
        first = self._edge.size - len(self._leaves)
        begin = max(-(-first // BLOCK) * BLOCK, first_of_tiles(self.closed))
        return cut_tiles(self.origin, begin, self._leaves[begin - first : size - first])

    def cover(self, size: int) -> None:
        """Take into account that a checkpoint covers ``size`` records."""
        self._edge.blocks[:] = closed_at(self.state, size).blocks
        self.closed = size
        del self._leaves[: len(self._leaves) - (self._edge.size - first_of_tiles(size))]

    def close_segment(self, signer: NoteSigner, time: str) -> Segment:
        """Sign what the log holds, and begin the next segment."""
        checkpoint = Checkpoint(self.origin, self.size, self._edge.root(), self.chain, time)
        segment = Segment(
            origin=self.origin,
            first=self.closed,
            size=self.size,
            blocks=tuple(block.hex() for block in self._edge.blocks),
            note=signer.sign(checkpoint),
        )
        self.cover(self.size)
        return segment
