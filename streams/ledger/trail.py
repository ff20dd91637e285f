"""Checks every log of a trail, wherever the trail lies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.ledger.merkle import leaf_hash
from streams.ledger.report import Fault, Report, equivocations
from streams.ledger.verify import verify_log

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from streams.ledger.log import Segment
    from streams.ledger.note import Checkpoint, NoteVerifier
    from streams.ledger.verify import EntryTuple
    from streams.store.row import Row


class Trail(Protocol):
    """A store that holds logs; ``may_expire``: it drops the oldest records by itself."""

    may_expire: bool

    def origins(self) -> Mapping[str, int]:
        """Return the size of every log by its origin."""

    def segments(self, origin: str) -> Sequence[Segment]:
        """Return the closed segments of a log by size."""

    def entries(self, origin: str) -> Iterable[EntryTuple]:
        """Yield the records of a log by position."""

    def strays(self) -> Sequence[str]:
        """Return ids of documents that belong to no log."""

    def erasures(self) -> Mapping[str, Container[int]]:
        """Return, by origin, the places whose content may be absent."""


class ProvenTrail(Trail, Protocol):
    """A store that also gives what proofs are made of."""

    def leaves(self, origin: str, first: int, end: int) -> Sequence[bytes]:
        """Return the hashes of the records ``[first, end)``."""

    def find(self, event_id: str) -> tuple[str, int, bytes] | None:
        """Return origin, position and record of a document."""

    def hashes(self, event_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the recorded hashes of the documents that are there."""


class TrailReport(NamedTuple):
    """What a check of all logs found."""

    logs: tuple[Report, ...]
    faults: tuple[Fault, ...]

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(report.size for report in self.logs)

    @property
    def unsigned(self) -> int:
        """How many of them no checkpoint covers yet."""
        return sum(max(0, report.size - report.signed) for report in self.logs)

    @property
    def expired(self) -> int:
        """How many are missing at the beginnings of logs, dropped by the store."""
        return sum(report.expired for report in self.logs)

    @property
    def erased(self) -> int:
        """How many have lost their content."""
        return sum(len(report.erased) for report in self.logs)

    @property
    def unnamed(self) -> int:
        """How many faults were counted but not named."""
        return sum(report.unnamed for report in self.logs)


def verify_trail(
    trail: Trail,
    verifier: NoteVerifier,
    *,
    witnessed: Sequence[Checkpoint] = (),
    progress: Callable[[str, int], None] | None = None,
) -> TrailReport:
    """Check all logs of a trail.

    Parameters
    ----------
    trail
        Where they lie.
    verifier
        The key that must have signed the checkpoints.
    witnessed
        Opened checkpoints that were kept where the writer of the trail cannot write.
    progress
        Called with an origin and the number of its records looked at.
    """
    origins = trail.origins()
    reports = []
    for origin in origins:
        known = [item for item in witnessed if item.origin == origin]
        reports.append(
            verify_log(
                origin,
                trail.entries(origin),
                trail.segments(origin),
                verifier,
                witnessed=known,
                may_expire=trail.may_expire,
                progress=partial(progress, origin) if progress else None,
            )
        )
    faults = [fault for report in reports for fault in report.faults]
    faults += _unexplained(reports, trail.erasures())
    faults += equivocations(witnessed)
    faults += _lost(witnessed, origins)
    faults += [
        Fault("inserted", "", 0, 0, event_id, "the document belongs to no log")
        for event_id in trail.strays()
    ]
    return TrailReport(tuple(reports), tuple(faults))


def _unexplained(reports: Iterable[Report], erasures: Mapping[str, Container[int]]) -> list[Fault]:
    """Return a fault for each record whose content is gone without a record of that."""
    return [
        Fault(
            "removed",
            report.origin,
            item.position,
            item.position + 1,
            item.event_id,
            f"the content of record {item.position} is gone, and no erasure was recorded",
        )
        for report in reports
        for item in report.erased
        if item.position not in erasures.get(report.origin, ())
    ]


def _lost(witnessed: Sequence[Checkpoint], origins: Mapping[str, int]) -> list[Fault]:
    """Return a fault for each log that a checkpoint speaks of and the trail does not hold."""
    sizes: dict[str, int] = {}
    for item in witnessed:
        sizes[item.origin] = max(item.size, sizes.get(item.origin, 0))
    return [
        Fault("removed", origin, 0, size, None, f"the whole log of {size} records is missing")
        for origin, size in sizes.items()
        if origin not in origins
    ]


def compare_rows(trail: ProvenTrail, rows: Sequence[Row]) -> list[Fault]:
    """Return a fault for each row of another source that the trail holds otherwise or not at all.

    Unlike a check of the trail alone this names the record also when everything after it was
    computed anew.
    """
    held = trail.hashes([row.event_id for row in rows])
    faults = []
    for row in rows:
        leaf = held.get(row.event_id)
        if leaf is None:
            text = "Kafka holds the record, the trail does not"
            faults.append(Fault("removed", "", 0, 0, row.event_id, text))
        elif leaf != leaf_hash(row.body):
            text = "the record is not the one that Kafka holds"
            faults.append(Fault("altered", "", 0, 0, row.event_id, text))
    return faults
