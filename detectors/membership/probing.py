"""Clients that ask about members of the training set far more often than chance has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import EvidenceSums, MeanBet, Rise, TailTable, hedged
from detectors.membership.keys import keys_of
from detectors.membership.members import Search
from detectors.query.runs import Runs
from detectors.registry import Kind, register
from detectors.tables import State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


class ProbingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of a client's queries that is bet to be about members."""

    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.3


@register(
    "membership.probing",
    ProbingConfig,
    kinds={"membership": Kind(severity="high", atlas=("AML.T0024.000",), owasp=("ML04:2023",))},
    cost="O(members of a cell), nothing without members",
    state_bytes=64,
    needs_profile=True,
)
class MembershipProbing:
    """Find clients that test whether inputs were in the training set.

    Each query is compared with the sketches of members that calibration kept: one that is much
    nearer to a single member than to its next neighbours is a member, exact, noisy, lit in another
    way or shifted by whole pixels. Benign traffic meets members as often as other inputs of their
    kind do.

    References
    ----------
    Shokri et al. Membership inference attacks against machine learning models. S&P 2017.
    """

    version: ClassVar[int] = 2

    def __init__(self, config: ProbingConfig, context: Context) -> None:
        profile = context.profile
        if profile is None:
            raise ValueError("membership.probing needs a profile")
        self._members, self._grid = profile.members, profile.view_grid
        self._sums = EvidenceSums(context.max_clients, 1, context.run_length_events)
        self._runs = Runs(context.max_clients, 1)
        self._mean = MeanBet()
        self._share = config.share
        if self._members is not None:
            self._search = Search(self._members)
            self._tables = [TailTable(row[None]) for row in self._members.thresholds]

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's row."""
        return self._sums.table.bytes_per_client + self._runs.table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Compare the rows of a piece with the members."""
        rows = np.flatnonzero(piece.batch.scanned)
        if self._members is None or not len(rows):
            return []
        segments = Segments.of(rows, piece.slot[rows])
        order, batch = segments.order, piece.batch
        ratios = self._search.ratios(keys_of(batch.sketch[order], batch.view[order], self._grid))
        none = np.zeros(len(order), np.intp)
        ranks = [table.rank(ratios[:, key], none) for key, table in enumerate(self._tables)]
        log_e = self._mean.log_e(*ranks)[:, None]
        log_e[piece.repeated[order]] = 0
        # Copies of one input have one member as their nearest.
        evidence = hedged(self._runs.excess(segments, batch.label[order], log_e), self._share)
        rises = self._sums.update(segments, evidence, batch.time_us[order])
        return [self._crossing(piece, segments, ratios, rise) for rise in rises]

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._sums.reset(slots)
        self._runs.table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("sums", self._sums.snapshot(slots_used)),
            **nest("runs", self._runs.table.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._sums.restore(pick("sums", arrays))
        self._runs.table.restore(pick("runs", arrays))

    def _crossing(
        self, piece: Piece, segments: Segments, ratios: NDArray[np.int64], rise: Rise
    ) -> Crossing:
        row = int(segments.order[rise.position])
        return piece.crossing(
            row,
            kind="membership",
            level=rise.level,
            log_e=rise.sums[0],
            since_us=rise.since_us,
            usual=rise.usual,
            evidence={
                "queries": rise.length,
                "ratio": round(int(ratios[rise.position].min()) / FIXED_POINT_ONE, 4),
            },
        )
