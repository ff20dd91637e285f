"""Joins the request and response halves of one source partition.

A plain object: it is told of each record once, in order, and answers with the interactions that
are finished. Time is the broker's timestamp of the record at hand, so what comes out is a
function of the records alone: the same after a crash, from a snapshot, in any chunks.

Each emitted interaction carries the position (offset of the record that finished it, index);
positions rise strictly, so that a reader drops what it has seen before. Half that stay alone
are kept as facts (a refused call often has no response) and marked in ``params``.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from config.errors import Fatal
from streams.decode.model import Decoded, Interaction, Part
from streams.ingest.seen import Seen, fingerprint, fingerprints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.decode.runs import Run

JOIN_PARAM = "vedette.join"
STATE_VERSION = 2
_ROW_OVERHEAD_BYTES = 512

#: What the response half knows better, and what either half may know.
_ANSWER = ("status", "error", "latency_us", "input_tokens", "output_tokens", "scores", "label")
_SHARED = ("tenant", "client", "key_id", "client_net", "user_agent", "model", "model_version")


class Mark(StrEnum):
    """Why an interaction is not made of two matching halves."""

    ORPHAN_REQUEST = "orphan_request"
    ORPHAN_RESPONSE = "orphan_response"
    EVICTED_REQUEST = "evicted_request"
    EVICTED_RESPONSE = "evicted_response"
    ROW_MISMATCH = "row_mismatch"
    REUSED_ID = "reused_id"


class Half(msgspec.Struct, gc=False, array_like=True):
    """A half that waits for the other."""

    key: int
    part: Part
    arrived_ms: int
    rows: list[Interaction]
    mark: bytes

    @property
    def size_bytes(self) -> int:
        """Estimate the memory it holds."""
        return sum(
            _ROW_OVERHEAD_BYTES + sum(len(x) for x in (row.input, row.prompt, row.completion) if x)
            for row in self.rows
        )


class _State(msgspec.Struct, array_like=True):
    version: int
    offset: int
    next_index: int
    pending: list[Half]
    decided: list[Interaction]
    latest_ms: int
    seen: tuple[bytes, bytes]


class Joiner:
    """Pairs halves by (source, id), whichever comes first.

    Parameters
    ----------
    timeout_ms
        How long a half waits, in time of the broker.
    max_pending
        Halves that may wait; the oldest give way.
    max_pending_bytes
        Memory that they may hold, estimated.
    remembered
        Events, at least, among which one that is sent again is known.

    Attributes
    ----------
    counts
        ``joined``, ``orphaned``, ``duplicate``, ``reordered`` (response first), ``evicted``,
        ``row_mismatch``, ``reused_id`` (another half with the id of one that waits).
    latest_ms
        Highest timestamp of a record that it was told of.
    decided
        Orphans that `expire_all` has decided on; they keep their positions until `forget_decided`.
    """

    def __init__(
        self,
        *,
        timeout_ms: int,
        max_pending: int,
        max_pending_bytes: int = 128 << 20,
        remembered: int = 1 << 16,
    ) -> None:
        self._timeout_ms = timeout_ms
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._pending: dict[int, Half] = {}
        self._pending_bytes = 0
        self._seen = Seen(remembered)
        self._offset = -1
        self._next_index = 0
        self.latest_ms = -1
        self.decided: list[Interaction] = []
        self.counts: Counter[str] = Counter()

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost by forgetting the state."""
        return not (self._pending or self._seen or self.decided)

    @property
    def next_offset(self) -> int:
        """Offset of the first record that it was not told of."""
        return self._offset + 1

    def add(self, offset: int, timestamp_ms: int, decoded: Decoded | None) -> list[Interaction]:
        """Take the next record, None if it brings nothing, and return what is finished."""
        self._offset, self._next_index = offset, 0
        self.latest_ms = max(self.latest_ms, timestamp_ms)
        out: list[Interaction] = []
        if decoded is not None:
            out = self._take(decoded, timestamp_ms)
            for event in decoded.more:
                out += self._take(event, timestamp_ms)
        if self._pending:
            out.extend(self._expire(timestamp_ms))
        return self._place(out)

    def add_run(self, run: Run, latest_ms: int) -> list[int] | None:
        """Take the next records at once, all of them complete events.

        Parameters
        ----------
        run
            Consecutive records.
        latest_ms
            Highest of their timestamps.

        Returns
        -------
        list or None
            Which of them are told, by their places in the run; the others came before. None, and
            nothing is taken, if a half has waited long enough by then: where it is told depends
            on every single timestamp.
        """
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None and oldest.arrived_ms <= latest_ms - self._timeout_ms:
            return None
        self.latest_ms = max(self.latest_ms, latest_ms)
        add = self._seen.add
        told = [place for place, mark in enumerate(fingerprints(run)) if add(mark)]
        if len(told) < len(run.at):
            self.counts["duplicate"] += len(run.at) - len(told)
        self._offset = run.columns["offset"][-1]
        self._next_index = int(bool(told) and told[-1] == len(run.at) - 1)
        return told

    def expire_all(self) -> list[Interaction]:
        """Decide that all halves stay alone, because the partition has gone quiet.

        Their positions follow the last record's. Take a snapshot before they are emitted: only
        then does a crash in between repeat them with the same positions.
        """
        orphans = [row for half in self._pending.values() for row in self._orphan(half)]
        self._pending.clear()
        self._pending_bytes = 0
        self.decided += self._place(orphans)
        return self.decided

    def forget_decided(self) -> None:
        """Forget what `expire_all` decided, once it was emitted."""
        self.decided = []

    def rewind(self) -> None:
        """Forget which record came last, so that any may come next."""
        self._offset, self._next_index = -1, 0

    def snapshot(self) -> bytes:
        """Return the whole state."""
        return msgspec.msgpack.encode(
            _State(
                STATE_VERSION,
                self._offset,
                self._next_index,
                list(self._pending.values()),
                self.decided,
                self.latest_ms,
                self._seen.snapshot(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Take over a state that `snapshot` returned.

        Raises
        ------
        Fatal
            If it is of another version or damaged.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_State)
        except msgspec.DecodeError:
            raise Fatal("the join state of a snapshot is damaged; restore a backup") from None
        if state.version != STATE_VERSION:
            raise Fatal(f"the join state has version {state.version}, not {STATE_VERSION}")
        self._offset, self._next_index = state.offset, state.next_index
        self._pending = {half.key: half for half in state.pending}
        self._pending_bytes = sum(half.size_bytes for half in state.pending)
        self._seen.restore(*state.seen)
        self.decided, self.latest_ms = state.decided, state.latest_ms

    def _place(self, rows: list[Interaction]) -> list[Interaction]:
        offset, index = self._offset, self._next_index
        for row in rows:
            row.offset, row.index = offset, index
            index += 1
        self._next_index = index
        return rows

    def _take(self, event: Decoded, now_ms: int) -> list[Interaction]:
        """Return what an event finishes; nothing if it came before."""
        if not event.event_id:
            return event.rows  # nothing would tell another one from the same
        mark = fingerprint(event)
        if not self._seen.add(mark):
            self.counts["duplicate"] += 1
            return []
        if event.part is Part.COMPLETE:
            return event.rows
        return list(self._pair(event, mark, now_ms))

    def _pair(self, half: Decoded, mark: bytes, now_ms: int) -> Iterable[Interaction]:
        key = _key(half.source, half.event_id)
        other = self._pending.get(key)
        if other is None:
            return self._wait(Half(key, half.part, now_ms, half.rows, mark))
        if other.part is half.part:
            return self._refuse_to_wait(half, mark, other)
        self._forget(other)
        self.counts["joined"] += 1
        if half.part is Part.RESPONSE:
            return self._merge(other.rows, half.rows)
        self.counts["reordered"] += 1
        return self._merge(half.rows, other.rows)

    def _refuse_to_wait(self, half: Decoded, mark: bytes, other: Half) -> Iterable[Interaction]:
        """Tell a half alone whose id another one waits with; nothing if it is the same one."""
        if mark == other.mark:  # it has waited longer than fingerprints are remembered
            self.counts["duplicate"] += 1
            return ()
        self.counts["reused_id"] += 1
        return _marked(half.rows, Mark.REUSED_ID)

    def _wait(self, half: Half) -> Iterable[Interaction]:
        """Keep a half, and return those that give way to it."""
        self._pending[half.key] = half
        self._pending_bytes += half.size_bytes
        while (
            len(self._pending) > self._max_pending or self._pending_bytes > self._max_pending_bytes
        ):
            oldest = next(iter(self._pending.values()))
            self._forget(oldest)
            self.counts["evicted"] += 1
            mark = _alone(oldest.part, Mark.EVICTED_REQUEST, Mark.EVICTED_RESPONSE)
            yield from _marked(oldest.rows, mark)

    def _forget(self, half: Half) -> None:
        del self._pending[half.key]
        self._pending_bytes -= half.size_bytes

    def _expire(self, now_ms: int) -> Iterable[Interaction]:
        """Give up on halves that have waited too long, oldest first."""
        due_ms = now_ms - self._timeout_ms
        while self._pending:
            half = next(iter(self._pending.values()))
            if half.arrived_ms > due_ms:
                break
            self._forget(half)
            yield from self._orphan(half)

    def _orphan(self, half: Half) -> list[Interaction]:
        self.counts["orphaned"] += 1
        return _marked(half.rows, _alone(half.part, Mark.ORPHAN_REQUEST, Mark.ORPHAN_RESPONSE))

    def _merge(
        self, requests: list[Interaction], responses: list[Interaction]
    ) -> list[Interaction]:
        if len(requests) == len(responses):
            for request, response in zip(requests, responses, strict=True):
                _fill(request, response)
            return requests
        refused = len(responses) == 1 and responses[0].error is not None
        for request in requests:
            _fill(request, responses[0], with_answer=refused)
        if refused:
            return requests
        self.counts["row_mismatch"] += 1
        return _marked(requests, Mark.ROW_MISMATCH)


def _key(source: str, event_id: str) -> int:
    text = f"{len(source)}:{source}{event_id}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _alone(part: Part, request: Mark, response: Mark) -> Mark:
    return request if part is Part.REQUEST else response


def _marked(rows: list[Interaction], mark: Mark) -> list[Interaction]:
    for row in rows:
        row.params = {**(row.params or {}), JOIN_PARAM: mark.value}
    return rows


def _fill(request: Interaction, response: Interaction, *, with_answer: bool = True) -> None:
    """Complete a request half with what its response half knows."""
    for name in _SHARED:
        if getattr(request, name) is None:
            setattr(request, name, getattr(response, name))
    request.status = response.status
    if not with_answer:
        return
    for name in _ANSWER:
        setattr(request, name, getattr(response, name))
    request.completion = response.completion
    if response.params:
        request.params = {**response.params, **(request.params or {})}
