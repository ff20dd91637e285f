"""One client's inputs drifting away from what the model knows: corrupted, perturbed, mixed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import EvidenceSums, Rise, hedged
from detectors.registry import Kind, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.tables import State


class InputDriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of a client's queries that is bet to be foreign."""

    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2


@register(
    "drift.inputs",
    InputDriftConfig,
    kinds={
        "drift": Kind(severity="medium", atlas=("AML.T0015", "AML.T0031"), owasp=("ML01:2023",))
    },
    cost="O(1)",
    state_bytes=64,
    needs_profile=True,
)
class InputDrift:
    """Find clients a share of whose inputs is unlike anything benign.

    The query detector says how foreign each input is: far from the anchors of the answered class,
    oddly shaped, or grainy. Here only a share of the stake is bet on each query, which finds few
    foreign inputs among many ordinary ones; that detector bets all of it and finds the others
    sooner. A whole population that drifts is seen by ``drift.confidence``.

    References
    ----------
    Shin, Ramdas, Rinaldo. E-detectors: a nonparametric framework for sequential change detection.
    2022.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: InputDriftConfig, context: Context) -> None:
        self._share = config.share
        self._sums = EvidenceSums(context.max_clients, 1, context.run_length_events)

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's row."""
        return self._sums.table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Bet on the rows of a piece."""
        rows = np.flatnonzero(piece.batch.scanned)
        if not len(rows):
            return []
        segments = Segments.of(rows, piece.slot[rows])
        order = segments.order
        evidence = hedged(piece.far_log_e[order], self._share)
        evidence[piece.repeated[order]] = 0
        rises = self._sums.update(segments, evidence[:, None], piece.batch.time_us[order])
        return [self._crossing(piece, segments, rise) for rise in rises]

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._sums.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return self._sums.snapshot(slots_used)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._sums.restore(arrays)

    def _crossing(self, piece: Piece, segments: Segments, rise: Rise) -> Crossing:
        row = int(segments.order[rise.position])
        return piece.crossing(
            row,
            kind="drift",
            level=rise.level,
            log_e=rise.sums[0],
            since_us=rise.since_us,
            usual=rise.usual,
            evidence={
                "queries": rise.length,
                "foreign_log_e": round(int(piece.far_log_e[row]) / FIXED_POINT_ONE, 3),
            },
        )
