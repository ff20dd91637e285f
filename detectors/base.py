"""What every detector is: scores, decides, then learns, in stream order, on whole batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.batch import Batch
    from detectors.finding import SubjectType
    from detectors.profile import Profile
    from detectors.tables import State

Evidence = dict[str, "int | float | str | list[str] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a detector is told when it is made."""

    model: str
    profile: Profile | None
    run_length_events: int
    max_clients: int
    lateness_us: int
    seed: int = 0


class Usual(NamedTuple):
    """What the subject's own score had been before it began to rise.

    ``score`` is its name in the evidence, or ``log_e`` for that of the crossing; ``over`` is how
    many of the subject's own earlier scores ``own`` is the mean of: none if it is new.
    ``limit`` is what log_e of benign subjects stays below, if not the logarithm of the run length.
    """

    score: str
    own: float
    over: int
    limit: float | None = None

    def evidence(self) -> Evidence:
        """Return it as a finding tells it."""
        limit: Evidence = {} if self.limit is None else {"limit_log_e": round(self.limit, 4)}
        return {f"own_{self.score}": round(self.own, 4), "own_over": self.over, **limit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A subject's evidence crossed the threshold, or a higher one.

    ``row`` is the position, in the batch, of the row that made the detector decide; ``level`` is
    1 at the first crossing and grows with each escalation; ``log_e`` is in fixed point.
    """

    row: int
    time_us: int
    trigger: str
    subject_type: SubjectType
    subject: str
    kind: str
    level: int
    log_e: int
    since_us: int
    events: int
    evidence: Evidence
    usual: Usual
    #: Members of a campaign; empty if ``subject`` is all there is.
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segments:
    """Rows grouped by client: rows of one client are neighbours and keep their order.

    Attributes
    ----------
    order
        intp (n,): row in the batch of each sorted position.
    slots, starts, counts
        intp (g,): client slot, first sorted position and number of rows of each group.
    """

    order: NDArray[np.intp]
    slots: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, rows: NDArray[np.intp], slot: NDArray[np.intp]) -> Segments:
        """Group ``rows``, which ascend, by their ``slot``."""
        sort = np.argsort(slot, kind="stable")
        ordered = slot[sort]
        if not len(ordered):
            empty = np.zeros(0, np.intp)
            return cls(empty, empty, empty, empty)
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        counts = np.diff(np.r_[starts, len(ordered)])
        return cls(rows[sort], ordered[starts], starts, counts)

    @property
    def rank(self) -> NDArray[np.intp]:
        """Position of each sorted row within its client's rows."""
        return np.arange(len(self.order)) - np.repeat(self.starts, self.counts)

    @property
    def slot(self) -> NDArray[np.intp]:
        """Client slot of each sorted row."""
        return np.repeat(self.slots, self.counts)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a batch with their clients' slots.

    Attributes
    ----------
    events
        int64 (n,): how many interactions of the row's client had been seen, itself included.
    near_log_e, far_log_e
        int32 (n,): evidence of single rows, written by the query detector for those after it.
    repeated
        bool (n,): the client has sent this very payload before, by the query detector.
    """

    batch: Batch
    slot: NDArray[np.intp]
    segments: Segments
    events: NDArray[np.int64]
    near_log_e: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    far_log_e: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    repeated: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def client(self, row: int) -> str:
        """Return the client id of a row."""
        return self.batch.clients[int(self.batch.client[row])]

    def crossing(
        self,
        row: int,
        *,
        kind: str,
        level: int,
        log_e: int,
        since_us: int,
        evidence: Evidence,
        usual: Usual,
    ) -> Crossing:
        """Return that the client of a row crossed with it."""
        return Crossing(
            row=row,
            time_us=int(self.batch.time_us[row]),
            trigger=self.batch.interaction_id(row),
            subject_type="client",
            subject=self.client(row),
            kind=kind,
            level=level,
            log_e=log_e,
            since_us=since_us,
            events=int(self.events[row]),
            evidence=evidence,
            usual=usual,
        )


class Detector(Protocol):
    """Seam between the suite and a detector.

    A detector reads no clock, does no I/O and draws no unseeded random number; what it decides
    must not depend on how the stream is cut into batches.
    """

    version: ClassVar[int]

    @property
    def bytes_per_client(self) -> int:
        """Bound of the state of one client."""
        ...

    def observe(self, piece: Piece) -> list[Crossing]:
        """Score, decide, then learn the rows of a piece."""
        ...

    def finish(self) -> list[Crossing]:
        """Decide on what is still open: the stream has ended."""
        ...

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget the clients of these slots."""
        ...

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays without objects."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        ...
