"""Checks what Kafka still holds of a log against its signed checkpoints, without any store.

Kafka keeps records and checkpoints, not places. Records are laid along the log by the roots of
blocks that the checkpoints brought along, so a topic whose beginning has expired can be checked
as well as a whole one. The kept roots add up to the signed root, or are no proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.ledger.merkle import BLOCK, root_of
from streams.ledger.note import BadNote
from streams.ledger.proof import ProofFailed, kept_roots
from streams.ledger.report import Fault, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.ledger.log import Segment
    from streams.ledger.note import Checkpoint, NoteVerifier
    from streams.ledger.report import Kind

#: Places at which the records are tried to be laid along the log.
MOST_TRIES = 1 << 16
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
    """
    check = _Check(origin, held, segments)
    newest = check.newest(verifier)
    if newest is None:
        return check.report(0, 0)
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
        self._roots = {
            segment.first // BLOCK + number: bytes.fromhex(block)
            for segment in self._segments
            for number, block in enumerate(segment.blocks)
        }
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
        faults = tuple(self._faults)
        return Report(self._origin, self._size, signed, self._checkpoints, (), faults, 0, expired)


def _nearest_first() -> Iterator[int]:
    yield 0
    for distance in range(1, MOST_SHIFT + 1):
        yield from (-distance, distance)
