"""Checks what Kafka still holds of a log against its signed checkpoints, without any store.

Kafka keeps records and checkpoints, not places. The published tiles give each place its hash,
and so name what was changed. Where they are gone, records are laid along the log by the roots of
blocks that the checkpoints brought along, and a change is told by its block. Either way the
roots add up to the signed one, or are no proof, and a topic whose beginning has expired can be
checked as well as a whole one.
"""

from __future__ import annotations

from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from streams.ledger.merkle import BLOCK, root_of
from streams.ledger.naming import compare, explained
from streams.ledger.note import BadNote
from streams.ledger.proof import ProofFailed, block_roots, kept_roots
from streams.ledger.report import MAX_FAULTS, Fault, Report, spanned
from streams.ledger.tiles import signed_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from streams.ledger.log import Segment
    from streams.ledger.naming import Comparison, Difference
    from streams.ledger.note import Checkpoint, NoteVerifier
    from streams.ledger.report import Kind

#: Places at which the records are tried to be laid along the log.
MOST_TRIES = 1 << 16
_TEXTS: dict[Kind, str] = {
    "altered": "record {} was altered",
    "inserted": "a record that was never signed lies before record {}",
    "moved": "record {} lies where another one belongs",
}
#: So many records may be missing or too many at one place and the rest is still found.
MOST_SHIFT = 64


class Held(NamedTuple):
    """A record that Kafka holds, in the order of its partition."""

    event_id: str
    leaf: bytes


def verify_held(
    origin: str,
    held: Sequence[Held],
    segments: Sequence[Segment],
    verifier: NoteVerifier,
    *,
    whole: bool,
    alone: bool = True,
    tiles: Mapping[int, bytes] = MappingProxyType({}),
) -> Report:
    """Check the records of one partition against one of its logs.

    Parameters
    ----------
    origin
        The log.
    held
        All records that are left, each once.
    segments
        The published checkpoints of the log.
    verifier
        The key that must have signed them.
    whole
        Whether nothing has expired: then a log that is not found is a fault.
    alone
        Whether the partition had no other log: then all of its records belong to this one.
    tiles
        The published hashes by number of the tile; untrusted.
    """
    check = _Check(origin, held, segments)
    newest = check.newest(verifier)
    if newest is None:
        return check.report(0, 0)
    found = check.by_tiles(newest, tiles)
    if found is not None:
        return check.report(newest.size, check.name(found, whole=whole, alone=alone))
    first = check.place(newest)
    if first is None:
        if whole:
            text = "none of the records that Kafka holds are those that were signed"
            check.fault("rewritten", 0, newest.size, None, text)
        return check.report(newest.size, newest.size)
    check.compare(first, newest)
    return check.report(newest.size, max(0, first))


class _Check:
    """One log; ``_held[i]`` lies at place ``i + first``, as far as nothing was changed."""

    def __init__(self, origin: str, held: Sequence[Held], segments: Sequence[Segment]) -> None:
        self._origin = origin
        self._held = held
        self._segments = sorted(segments, key=lambda item: item.size)
        self._leaves = [item.leaf for item in held]
        self._roots = block_roots(self._segments)
        self._faults: list[Fault] = []
        self._checkpoints = 0
        self._size = 0

    def newest(self, verifier: NoteVerifier) -> Checkpoint | None:
        """Open all checkpoints; return the one that covers most."""
        found = None
        for segment in self._segments:
            try:
                opened = verifier.open(segment.note)
            except BadNote as error:
                self.fault("checkpoint", segment.first, segment.size, None, str(error))
                continue
            if (opened.origin, opened.size) != (self._origin, segment.size):
                text = "the checkpoint was signed for another log or size"
                self.fault("checkpoint", segment.first, segment.size, None, text)
                continue
            self._checkpoints += 1
            found = opened
        return found

    def by_tiles(self, newest: Checkpoint, tiles: Mapping[int, bytes]) -> Comparison | None:
        """Compare every record with its tile; None if tiles do not reach to the first record."""
        signed = signed_leaves(newest, self._roots, tiles)
        found = signed and compare(signed.first, signed.leaves, self._leaves)
        if signed and found and signed.first and found.before.unsigned:
            return None
        return found or None

    def name(self, found: Comparison, *, whole: bool, alone: bool) -> int:
        """Name each record that was changed; return how many have expired at the beginning."""
        self._size = found.matched
        before, after = found.before, found.after
        if not alone:  # around it lie the records of other logs
            before, after = before._replace(unsigned=[]), after._replace(unsigned=[])
        at_start = list(explained(before, at_end=True))
        expired = 0 if whole else sum(item.kind == "removed" for item in at_start)
        # What lies behind the end was not signed yet.
        at_end = [item for item in explained(after) if item.kind != "inserted"]
        told = [item for gap in found.inner for item in explained(gap)]
        told += [*at_start[: len(at_start) - expired], *at_end, *found.moved]
        for run in _runs(sorted(told, key=lambda item: item.place)):
            self._tell(run)
        return expired

    def _tell(self, run: Sequence[Difference]) -> None:
        kind, first, index = run[0]
        end, held = first + len(run), self._held[index].event_id if index >= 0 else None
        if kind == "removed":
            where = f"; {held} lies before" if held else ""
            self.fault(kind, first, end, None, f"{spanned(first, end)} missing{where}")
        else:
            self.fault(kind, first, end, held, _TEXTS[kind].format(first))

    def place(self, newest: Checkpoint) -> int | None:
        """Return the place of the first record; negative: so many belong to an earlier log."""
        numbers = {root: number for number, root in self._roots.items()}
        last = min(len(self._leaves) - min(BLOCK, newest.size), MOST_TRIES)
        for start in range(last + 1):
            if numbers:
                number = numbers.get(root_of(self._leaves[start : start + BLOCK]))
                if number is not None:
                    return number * BLOCK - start
            elif root_of(self._leaves[start : start + newest.size]) == newest.root:
                return -start
        return None

    def compare(self, first: int, newest: Checkpoint) -> None:
        """Compare block by block, and the kept roots with the signed one."""
        shift = first
        self._size = min(newest.size, len(self._leaves) + first) - max(0, first)
        for number in range(-(-max(0, first) // BLOCK), newest.size // BLOCK):
            root, at = self._roots.get(number), number * BLOCK - shift
            if root is None or root_of(self._leaves[at : at + BLOCK]) == root:
                continue
            moved = self._moved(number, at)
            self._name(number, at, moved)
            shift -= moved
        end = newest.size - shift
        if end > len(self._leaves):
            text = f"records {len(self._leaves) + shift} to {newest.size - 1} are missing"
            self.fault("removed", len(self._leaves) + shift, newest.size, None, text)
            return
        self._compare_signed(shift, newest)

    def _compare_signed(self, shift: int, newest: Checkpoint) -> None:
        def leaves(first: int, end: int) -> Sequence[bytes]:
            return self._leaves[first - shift : end - shift]

        try:
            root = kept_roots(self._segments, leaves)(0, newest.size)
        except ProofFailed as error:
            self.fault("checkpoint", 0, newest.size, None, str(error))
            return
        if root != newest.root:
            tail = newest.size // BLOCK * BLOCK
            text = (
                f"records {tail} to {newest.size - 1}, or the roots that were published, are not "
                f"those that were signed at {newest.time}"
            )
            self.fault("rewritten", tail, newest.size, None, text)

    def _moved(self, number: int, at: int) -> int:
        """Return by how many records the next block lies further than it should."""
        following = self._roots.get(number + 1)
        if following is None:
            return 0
        for moved in _nearest_first():
            start = at + BLOCK + moved
            if root_of(self._leaves[start : start + BLOCK]) == following:
                return moved
        return 0

    def _name(self, number: int, at: int, moved: int) -> None:
        first, end = number * BLOCK, (number + 1) * BLOCK
        if moved < 0:
            text = f"{-moved} of the records {first} to {end - 1} are missing"
            self.fault("removed", first, end, None, text)
        elif moved == 1:
            self._name_inserted(number, at)
        elif moved > 1:
            text = f"{moved} records lie among {first} to {end - 1} that were never signed"
            self.fault("inserted", first, end, None, text)
        else:
            text = f"records {first} to {end - 1} hold one that was altered"
            self.fault("altered", first, end, None, text)

    def _name_inserted(self, number: int, at: int) -> None:
        block = self._leaves[at : at + BLOCK + 1]
        for place in range(len(block)):
            if root_of(block[:place] + block[place + 1 :]) == self._roots[number]:
                item, position = self._held[at + place], number * BLOCK + place
                text = f"the record at place {position} was never signed"
                self.fault("inserted", position, position + 1, item.event_id, text)
                return
        text = f"the records from {number * BLOCK} on hold one too many, and were altered"
        self.fault("inserted", number * BLOCK, (number + 1) * BLOCK, None, text)

    def fault(self, kind: Kind, first: int, end: int, event_id: str | None, text: str) -> None:
        """Note one thing that is wrong."""
        self._faults.append(Fault(kind, self._origin, first, end, event_id, text))

    def report(self, signed: int, expired: int) -> Report:
        """Return what was found."""
        faults, unnamed = tuple(self._faults[:MAX_FAULTS]), len(self._faults[MAX_FAULTS:])
        return Report(
            self._origin, self._size, signed, self._checkpoints, (), faults, unnamed, expired
        )


def _runs(told: Iterable[Difference]) -> Iterator[list[Difference]]:
    """Put what was removed in one piece together; of anything else each is told by itself."""
    for key, run in groupby(enumerate(told), key=_piece):
        items = [item for _, item in run]
        yield from [items] if key[0] == "removed" else ([item] for item in items)


def _piece(numbered: tuple[int, Difference]) -> tuple[str, int]:
    number, item = numbered
    return item.kind, item.place - number


def _nearest_first() -> Iterator[int]:
    yield 0
    for distance in range(1, MOST_SHIFT + 1):
        yield from (-distance, distance)
