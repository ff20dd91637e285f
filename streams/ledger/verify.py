"""Checks a log: every record, its place in the chain, the tree, and the signed checkpoints.

One pass over the records in their order. A record that does not fit is named and the pass goes
on from the link that is stored with it, so that one change is one fault. What cannot be told
from the records alone (all links rewritten, the end cut off, an old copy put back) shows
against the checkpoints.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from streams.ledger.log import genesis, link
from streams.ledger.merkle import BLOCK, Edge
from streams.ledger.note import BadNote, Checkpoint
from streams.ledger.report import MAX_FAULTS, Absent, Entry, Fault, Report, spanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.ledger.log import Segment
    from streams.ledger.note import NoteVerifier
    from streams.ledger.report import Kind

    EntryTuple = tuple[int, str, bytes, bytes, bytes | None]


class _Boundary(NamedTuple):
    checkpoint: Checkpoint
    segment: Segment | None


def verify_log(
    origin: str,
    entries: Iterable[EntryTuple],
    segments: Sequence[Segment],
    verifier: NoteVerifier,
    *,
    witnessed: Sequence[Checkpoint] = (),
    may_expire: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check the whole of one log.

    Parameters
    ----------
    origin
        The name of the log.
    entries
        Its records by position, as `Entry` or as tuples of its fields.
    segments
        The checkpoints kept with it, by size.
    verifier
        The key that must have signed them.
    witnessed
        Opened checkpoints of this log that were kept elsewhere.
    may_expire
        The store drops its oldest records by itself: those missing at the beginning are counted.
    progress
        Called with the number of records after every few thousand.
    """
    check = _Check(origin, may_expire=may_expire)
    boundaries = check.boundaries(segments, verifier, witnessed)
    for boundary in sorted(boundaries, key=lambda item: item.checkpoint.size):
        check.pending.append(boundary)
    check.run(entries, progress)
    return check.report()


class _Check:
    """The state of one pass."""

    def __init__(self, origin: str, *, may_expire: bool) -> None:
        self.origin = origin
        self._may_expire = may_expire
        self._expired = 0
        self.pending: list[_Boundary] = []
        self._faults: list[Fault] = []
        self._unnamed = 0
        self._suspects: list[tuple[Entry, bytes]] = []
        self._erased: list[Absent] = []
        self._edge = Edge()
        self._tree_holds = True
        self._position = 0
        self._link = genesis(origin)
        self._before = self._link
        self._computed = self._link
        self._segment_faults = 0
        self._gaps = 0
        self._signed = 0
        self._checkpoints = 0

    def boundaries(
        self, segments: Sequence[Segment], verifier: NoteVerifier, witnessed: Sequence[Checkpoint]
    ) -> list[_Boundary]:
        """Open the checkpoints; those that were not signed for this log are faults."""
        found = [_Boundary(checkpoint, None) for checkpoint in witnessed]
        end = 0
        for segment in segments:
            try:
                checkpoint = verifier.open(segment.note)
            except BadNote as error:
                self._fault("checkpoint", segment.first, segment.size, None, str(error))
                continue
            if checkpoint.origin != self.origin or checkpoint.size != segment.size:
                self._fault(
                    "checkpoint",
                    segment.first,
                    segment.size,
                    None,
                    "the checkpoint was signed for another log or size",
                )
                continue
            if segment.first > end and not (self._may_expire and end == 0):
                self._fault(
                    "checkpoint",
                    end,
                    segment.first,
                    None,
                    f"the checkpoint between {end} and {segment.first} is missing",
                )
            end = max(end, segment.size)
            found.append(_Boundary(checkpoint, segment))
        self._checkpoints = len(found)
        self._signed = max((item.checkpoint.size for item in found), default=0)
        return found

    def run(self, entries: Iterable[EntryTuple], progress: Callable[[int], None] | None) -> None:
        """Look at every record, and at every checkpoint when its place is reached."""
        self.pending.reverse()
        self._segment_faults = 0
        grow, pending = self._edge.append, self.pending
        boundary = pending[-1].checkpoint.size if pending else -1
        for row in entries:
            position, event_id, leaf, stored, body = row
            if position == self._position and boundary != position:
                # The fast way of nearly every record; anything odd takes the other.
                fits = body is None or sha256(b"\x00" + body).digest() == leaf
                if fits and sha256(self._link + leaf).digest() == stored:
                    if body is None:
                        self._erased.append(Absent(position, event_id))
                    grow(leaf)
                    self._before, self._link, self._computed = self._link, stored, stored
                    self._position = position + 1
                    if progress and not self._position & 8191:
                        progress(self._position)
                    continue
            self._look(Entry._make(row))
            boundary = pending[-1].checkpoint.size if pending else -1
        self._pass_boundaries(self._position)
        self._missing_end()

    def _look(self, entry: Entry) -> None:
        if entry.position < self._position:
            self._fault(
                "inserted",
                entry.position,
                entry.position + 1,
                entry.event_id,
                "a second record lies at this place",
            )
            return
        if entry.position > self._position:
            self._gap(entry)
        self._pass_boundaries(self._position)
        following = self._judge(entry)
        self._edge.append(entry.leaf)
        if entry.body is None:
            self._erased.append(Absent(entry.position, entry.event_id))
        self._before = self._link
        self._computed = link(self._link, entry.leaf)
        self._link = following
        self._position = entry.position + 1

    def _gap(self, entry: Entry) -> None:
        self._pass_boundaries(self._position)
        first, end = self._position, entry.position
        self._gaps += end - first
        if first == 0 and self._may_expire:
            self._expired = end
        else:
            self._fault("removed", first, end, None, f"{spanned(first, end)} missing")
        self._tree_holds = False
        while self.pending and self.pending[-1].checkpoint.size <= end:
            self.pending.pop()
        # What follows is checked up to the chain of the next checkpoint, from its own link.
        self._link = self._before = self._computed = b""
        self._position = end

    def _judge(self, entry: Entry) -> bytes:
        """Name what is wrong with a record, if anything is; return the link that follows it."""
        real = entry.leaf if entry.body is None else sha256(b"\x00" + entry.body).digest()
        if real != entry.leaf:
            self._altered(entry, "its content does not have the hash that was recorded")
        elif not self._link or self._follows(entry):
            pass
        elif link(self._before, entry.leaf) == entry.link:
            return self._before_is_odd(entry)
        else:
            self._suspects.append((entry, self._link))
            self._altered(entry, "it does not follow the record before it")
        return entry.link

    def _follows(self, entry: Entry) -> bool:
        """Tell whether a record follows the one before, whose link alone may have been changed."""
        return entry.link in {link(self._link, entry.leaf), link(self._computed, entry.leaf)}

    def _before_is_odd(self, entry: Entry) -> bytes:
        """Handle a record that follows not the one before it but the one before that."""
        position = entry.position - 1
        last = self._suspects[-1][0] if self._suspects else None
        if last and last.position == position and link(entry.link, last.leaf) == last.link:
            self._suspects.append((entry, self._before))
            self._altered(entry, "it lies behind the record that follows it")
            return last.link
        if self._faults and self._faults[-1].first == position:
            self._faults.pop()
            self._suspects = [item for item in self._suspects if item[0].position != position]
        self._fault(
            "inserted",
            position,
            position + 1,
            None,
            f"record {position} was not in the chain when record {entry.position} was written",
        )
        return entry.link

    def _altered(self, entry: Entry, why: str) -> None:
        self._tree_holds = False
        self._fault(
            "altered",
            entry.position,
            entry.position + 1,
            entry.event_id,
            f"record {entry.position} was altered: {why}",
        )

    def _pass_boundaries(self, size: int) -> None:
        while self.pending and self.pending[-1].checkpoint.size == size:
            boundary = self.pending.pop()
            self._compare(boundary)
            self._segment_faults = 0

    def _compare(self, boundary: _Boundary) -> None:
        signed, segment = boundary
        chain_fits = signed.chain in {self._link, self._computed}
        tree_fits = not self._tree_holds or self._edge.root() == signed.root
        blocks, self._edge.blocks = self._edge.blocks, [] if segment else self._edge.blocks
        if (chain_fits and tree_fits) or self._segment_faults:
            return
        first = segment.first if segment else 0
        where = _first_difference(blocks, segment) if segment else ""
        self._fault(
            "rewritten",
            first,
            signed.size,
            None,
            f"records {first} to {signed.size - 1} are not those that were signed at "
            f"{signed.time}{where}",
        )

    def _missing_end(self) -> None:
        if not self.pending:
            return
        newest = self.pending[0].checkpoint
        first, end = self._position, newest.size
        if self._explain_by_removal(end - first):
            return
        if any(boundary.segment for boundary in self.pending):
            self._fault("removed", first, end, None, f"{spanned(first, end)} missing at the end")
            return
        text = f"a checkpoint kept elsewhere was signed for {end} records at {newest.time}"
        self._fault("rolled back", first, end, None, f"the log ends at {first}, but {text}")

    def _explain_by_removal(self, missing: int) -> bool:
        """Read records that follow the wrong one as what a removal with renumbering leaves."""
        places = [item for item, _ in self._suspects]
        if self._gaps or not places or len(places) > missing:
            return False
        names = {entry.position for entry in places}
        self._faults = [
            fault._replace(
                kind="removed",
                text=f"what lay before record {fault.first} is missing, later ones were moved up",
            )
            if fault.kind == "altered" and fault.first in names
            else fault
            for fault in self._faults
        ]
        self._suspects = []
        return True

    def _name_moved(self) -> None:
        """Tell records that were moved, whole, from those that were altered."""
        known = {item: entry.position for entry, item in self._suspects}
        known.update((entry.link, -1) for entry, _ in self._suspects)
        moved = {
            entry.position
            for entry, _ in self._suspects
            if any(link(previous, entry.leaf) == entry.link for previous in known)
        }
        self._faults = [
            fault._replace(
                kind="moved", text=f"record {fault.first} lies where another one belongs"
            )
            if fault.kind == "altered" and fault.first in moved
            else fault
            for fault in self._faults
        ]

    def report(self) -> Report:
        """Return what was found."""
        if len(self._suspects) < MAX_FAULTS:
            self._name_moved()
        return Report(
            self.origin,
            self._position - self._gaps,
            self._signed,
            self._checkpoints,
            tuple(self._erased),
            tuple(self._faults),
            self._unnamed,
            self._expired,
        )

    def _fault(self, kind: Kind, first: int, end: int, event_id: str | None, text: str) -> None:
        self._segment_faults += 1
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(kind, self.origin, first, end, event_id, text))
        else:
            self._unnamed += 1


def _first_difference(blocks: Sequence[bytes], segment: Segment) -> str:
    """Say which block of records differs first from the roots that were kept."""
    for number, (found, kept) in enumerate(zip(blocks, segment.blocks, strict=False)):
        if found.hex() != kept:
            first = (segment.first // BLOCK + number) * BLOCK
            return f"; the first difference lies in records {first} to {first + BLOCK - 1}"
    return ""
