"""Clients whose queries cover more of the input space than an ordinary client's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import EvidenceSums, MeanBet, Rise, TailTable, tail_thresholds
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Queries of a client that are looked at together.
WINDOW = 64
#: Windows drawn from the reference: the smallest p-value is one in so many.
DRAWN = 4096

_counts = np.arange(1, WINDOW + 1, dtype=np.float64)
#: n ln n in fixed point, for n queries of a window with one answer.
_N_LOG_N = np.r_[0, np.rint(_counts * np.log(_counts) * FIXED_POINT_ONE)].astype(np.int64)


class Windows(NamedTuple):
    """Sums over the queries of windows, or of parts of them.

    ``total`` int32 (n, e) and ``squares`` int64 (n,): of the embeddings and of their squared
    norms; ``answers`` int32 (n, groups): how many had each answer.
    """

    total: NDArray[np.int32]
    squares: NDArray[np.int64]
    answers: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        embedding: NDArray[np.int8],
        group: NDArray[np.intp],
        starts: NDArray[np.intp],
        groups: int,
    ) -> Windows:
        """Add up neighbouring rows; part ``i`` begins at row ``starts[i]``."""
        wide = embedding.astype(np.int32)
        part = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(group)]))
        answers = np.bincount(part * groups + group, minlength=len(starts) * groups)
        return cls(
            np.add.reduceat(wide, starts, axis=0),
            np.add.reduceat(np.einsum("ij,ij->i", wide, wide).astype(np.int64), starts),
            answers.reshape(len(starts), groups).astype(np.int32),
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Windows:
        """Return some of them."""
        return Windows(self.total[which], self.squares[which], self.answers[which])

    def scores(self) -> NDArray[np.int64]:
        """Return int64 (2, n) of full windows: how far they spread, how evenly they are answered.

        `WINDOW` squared times the variance of the embeddings, and the entropy of the answers up
        to a constant.
        """
        total = self.total.astype(np.int64)
        spread = WINDOW * self.squares - np.einsum("ij,ij->i", total, total)
        return np.stack([spread, -_N_LOG_N[self.answers].sum(axis=1)])


def fit_coverage(
    embedding: NDArray[np.int8], group: NDArray[np.intp], groups: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Tabulate how much windows of independent benign queries cover: int64 (2, levels).

    What the reference does not tell for sure, because it is finite, is granted: scores are raised
    by two standard errors of their mean.
    """
    rows = rng.integers(0, len(group), (DRAWN, WINDOW)).ravel()
    starts = np.arange(0, len(rows), WINDOW)
    scores = Windows.of(embedding[rows], group[rows], starts, groups).scores()
    granted = 2 * scores.std(axis=1) * np.sqrt(WINDOW / len(group))
    raised = scores + np.ceil(granted).astype(np.int64)[:, None]
    return np.stack([tail_thresholds(-one) for one in raised])


class CoverageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to choose."""


@register(
    "query.coverage",
    CoverageConfig,
    kinds={
        "extraction": Kind(
            severity="medium",
            atlas=("AML.T0024.002", "AML.T0040"),
            owasp=("LLM06:2026", "LLM10:2025", "ML05:2023"),
        )
    },
    cost="O(1)",
    state_bytes=512,
    needs_profile=True,
)
class Coverage:
    """Find clients that map the model out: queries wider apart or more evenly answered than usual.

    A copy needs queries from all over the input space. Each 64 queries of a client are compared
    with 64 independent draws of the reference, which cover more than any client with habits: how
    far their embeddings spread, and how evenly the answers fall. The two bets are joined by their
    mean. Who asks only what ordinary clients together ask is not seen.

    References
    ----------
    Kesarwani, Mukhoty, Arya, Mehta. Model extraction warning in MLaaS paradigm. ACSAC 2018.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: CoverageConfig, context: Context) -> None:  # noqa: ARG002 - the registry's form
        profile = context.profile
        if profile is None:
            raise ValueError("query.coverage needs a profile")
        self._profile = profile
        self._groups = len(profile.classes) + 1
        self._table = ClientTable(
            context.max_clients,
            {
                # The smallest types that hold sums over less than a window of int8.
                "held": ((), np.uint8),
                "total": ((profile.anchors.shape[1],), np.int16),
                "squares": ((), np.int32),
                "answers": ((self._groups,), np.uint8),
            },
        )
        windows = max(1, context.run_length_events // WINDOW)
        self._sums = EvidenceSums(context.max_clients, 1, windows)
        self._tails = TailTable(profile.coverage_thresholds)
        self._bet = MeanBet()

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return self._table.bytes_per_client + self._sums.table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Add the queries of a piece to their windows, and bet on those that are full."""
        rows = np.flatnonzero(piece.batch.scanned)
        if not len(rows):
            return []
        segments = Segments.of(rows, piece.slot[rows])
        order, slot = segments.order, segments.slot
        number = (self._table["held"][slot] + segments.rank) // WINDOW
        new = (slot[1:] != slot[:-1]) | (number[1:] != number[:-1])
        starts = np.flatnonzero(np.r_[True, new])
        group = self._profile.group_of(piece.batch.label[order])
        parts = Windows.of(piece.batch.embedding[order], group, starts, self._groups)
        sizes = np.diff(np.r_[starts, len(order)])
        closed, full = self._join(slot[starts], number[starts], sizes, parts)
        last = order[starts + sizes - 1][closed]
        return self._bet_on(piece, Segments.of(last, slot[starts][closed]), full)

    def finish(self) -> list[Crossing]:
        """Nothing is open that could be judged."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._table.reset(slots)
        self._sums.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("windows", self._table.snapshot(slots_used)),
            **nest("sums", self._sums.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._table.restore(pick("windows", arrays))
        self._sums.restore(pick("sums", arrays))

    def _join(
        self,
        slot: NDArray[np.intp],
        number: NDArray[np.int64],
        sizes: NDArray[np.intp],
        parts: Windows,
    ) -> tuple[NDArray[np.bool_], Windows]:
        """Join parts with what is held of their clients; return which are full, and those."""
        table, first = self._table, number == 0
        begun = slot[first]
        held = sizes + np.where(first, table["held"][slot], 0)
        for name, part in parts._asdict().items():
            part[first] += table[name][begun]
        closed = held == WINDOW
        ends = np.r_[slot[1:] != slot[:-1], True]
        kept, open_ = slot[ends], ~closed[ends]
        table["held"][kept] = held[ends] * open_
        for name, part in parts._asdict().items():
            rest = part[ends]
            rest[~open_] = 0
            table[name][kept] = rest
        return closed, parts.take(closed)

    def _bet_on(self, piece: Piece, segments: Segments, full: Windows) -> list[Crossing]:
        if not len(segments.order):
            return []
        # Windows came sorted by client already, so the segments keep their order.
        scores = full.scores()
        pooled = np.zeros(scores.shape[1], np.intp)
        ranks = [self._tails.rank(-score, pooled + index) for index, score in enumerate(scores)]
        evidence = self._bet.log_e(*ranks)
        time_us = piece.batch.time_us[segments.order]
        rises = self._sums.update(segments, evidence[:, None], time_us)
        return [self._crossing(piece, segments, scores, rise) for rise in rises]

    def _crossing(
        self, piece: Piece, segments: Segments, scores: NDArray[np.int64], rise: Rise
    ) -> Crossing:
        row = int(segments.order[rise.position])
        spread, evenness = scores[:, rise.position].tolist()
        entropy = int(_N_LOG_N[WINDOW]) + evenness
        return piece.crossing(
            row,
            kind="extraction",
            level=rise.level,
            log_e=rise.sums[0],
            since_us=rise.since_us,
            usual=rise.usual,
            evidence={
                "channel": "coverage",
                "windows": rise.length,
                "queries": rise.length * WINDOW,
                "spread": round(spread / WINDOW**2, 3),
                "answer_entropy": round(entropy / WINDOW / FIXED_POINT_ONE, 3),
            },
        )
