"""What one query says, beside the client's earlier ones and the benign reference."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.batch import FIXED_POINT_ONE, to_fixed
from detectors.evidence import (
    TAIL_LEVELS,
    Hazard,
    MeanBet,
    PooledTail,
    TailTable,
    hedged,
    log_e,
    log_e_table,
)
from detectors.query.anchors import Anchors
from detectors.query.code import CodeFit, codes_of
from detectors.query.exposure import ExposureFit, exposure_scores
from detectors.query.likeness import DETAILS, Likeness
from detectors.query.repeats import Repeats
from detectors.query.ring import MEMORY, Nearest, Queries, Ring
from detectors.query.shape import ShapeFit, shape_scores
from detectors.query.ties import Ties
from detectors.query.views import Shown, Views, last_kept
from detectors.tables import State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.base import Segments
    from detectors.batch import Batch
    from detectors.profile import Profile

#: Queries closer than this share of a class's pairs are about the same thing.
CLOSE_SHARE = 0.003
_CLOSE_LEVEL = int(np.searchsorted(TAIL_LEVELS, CLOSE_SHARE))
#: Queries closer than this share are worth comparing in detail.
_ALIKE_LEVEL = int(np.searchsorted(TAIL_LEVELS, 0.02))
#: What is bet on near queries being foreign, too, and on changes being tied.
_ALSO_FOREIGN, _ALSO_TIED = 0.5, 0.2
FEATURES = (
    "near",
    "strange",
    "excess",
    "grain",
    "shape",
    "touched",
    "margin",
    "flip",
    "descent",
    "crowd",
    "mixed",
    "age",
    "distance",
    "tied",
    "compared",
    *DETAILS,
)


class Measured(NamedTuple):
    """Log e-values of queries in fixed point.

    Attributes
    ----------
    near, foreign, margin
        int64 (n,): evidence of the channels.
    likely
        int64 (n,): that of near and foreign together where a query is near.
    features
        int64 (n, len(`FEATURES`)): what tells a search from harmless likeness.
    told
        int64 (n,): the foreignness that earlier queries about the same thing have told already.
    repeated
        bool (n,): sent before, so no evidence.
    label
        int32 (n,): the answers.
    """

    near: NDArray[np.int64]
    likely: NDArray[np.int64]
    foreign: NDArray[np.int64]
    margin: NDArray[np.int64]
    features: NDArray[np.int64]
    told: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    label: NDArray[np.int32]

    @property
    def alike(self) -> NDArray[np.bool_]:
        """Queries about the same thing as an earlier one."""
        alike: NDArray[np.bool_] = self.features[:, FEATURES.index("crowd")] > 0
        return alike


class Measure:
    """Compares queries with the client's memory and with the profile."""

    def __init__(self, profile: Profile, max_clients: int) -> None:
        self._profile = profile
        self._code_fit = CodeFit(profile.code_matrix, profile.code_offset)
        axes = len(profile.code_offset)
        self.ring = Ring(max_clients, axes)
        self._likeness = Likeness(profile.view_grid)
        size = int(profile.view_grid[0] * max(1, profile.view_grid[1]))
        self.views = Views(max_clients, size, axes)
        self.ties = Ties(max_clients, size)
        self.repeats = Repeats(max_clients)
        self._anchors = Anchors(profile.anchors, profile.anchor_starts)
        self._near = TailTable(profile.near_thresholds)
        self._cross = TailTable(profile.cross_thresholds)
        self._far = PooledTail(profile.far_scale, profile.far_thresholds)
        self._margin = TailTable(profile.margin_thresholds)
        self._shape_fit = ShapeFit(profile.shape_matrix, profile.shape_offset)
        self._shape = PooledTail(profile.shape_scale, profile.shape_thresholds)
        self._grain = PooledTail(profile.grain_scale, profile.grain_thresholds)
        self._exposure_fit = ExposureFit(
            profile.exposure_matrix, profile.exposure_offset, profile.exposure_out
        )
        self._exposure = PooledTail(profile.exposure_scale, profile.exposure_thresholds)
        #: What has no meaning for a model would only lower the mean.
        self._grainy = int(profile.view_grid[1] > 0)
        self._exposed = int(len(profile.exposure_out) > 0)
        self._close_d2 = profile.near_thresholds[:, _CLOSE_LEVEL]
        self._alike_d2 = profile.near_thresholds[:, _ALIKE_LEVEL]
        self._tied = TailTable(profile.tied_thresholds[None])
        self._hazard = Hazard()
        self._log_e = log_e_table()[1]
        self._mean = MeanBet()

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        tables = (self.ring.table, self.repeats.table, self.ties.table, self.views.table)
        return sum(table.bytes_per_client for table in tables)

    def of(self, batch: Batch, segments: Segments) -> tuple[Measured, Queries]:
        """Measure the rows of ``segments``; only `remember` makes them part of the memory."""
        order = segments.order
        label, sketch = batch.label[order], batch.sketch[order]
        group = self._profile.group_of(label)
        far = self._far.rank(self._anchors.distance(batch.embedding[order], group), group)
        shape = self._shape.rank(shape_scores(self._shape_fit, sketch), group)
        grain = self._grain.rank(batch.grain[order], group)
        touched = self._exposure.rank(exposure_scores(self._exposure_fit, sketch), group)
        strange = np.minimum(np.minimum(far, shape), np.minimum(grain, touched))
        payload = batch.payload_hash[order]
        code = codes_of(self._code_fit, sketch)
        queries = Queries.of(code, label, payload, batch.log_odds[order], strange)
        nearest = self.ring.nearest(segments, queries, self._close_d2[group])
        repeated = nearest.repeated | self.repeats.seen(segments, payload)
        margin = batch.margin[order]
        margin_log_e = np.where(margin >= 0, self._log_e[self._margin.rank(margin, group)], 0)
        tied, compared = self.ties.observe(segments, batch.view[order], ~repeated)
        near = self._near_of(nearest, group) + hedged(self._tied_of(tied, compared), _ALSO_TIED)
        excess = self._log_e[strange] - self._log_e[nearest.likeness]
        features = np.stack(
            [
                near,
                self._log_e[strange],
                np.where(nearest.crowd > 0, excess, 0),
                self._log_e[grain],
                self._log_e[shape],
                self._log_e[touched],
                margin_log_e,
                np.where(nearest.other_d2 < nearest.d2, near, 0),
                np.where(margin >= 0, descent_table()[nearest.crowd, nearest.lower], 0),
                _logs()[nearest.crowd],
                _logs()[nearest.mixed],
                _logs()[nearest.age],
                _distance(nearest),
                tied * FIXED_POINT_ONE,
                *self._details(segments, Shown(batch.view[order], code), group, nearest, near),
            ],
            axis=1,
        )
        foreign = self._mean.log_e(far, shape, *[grain] * self._grainy, *[touched] * self._exposed)
        measured = Measured(
            near,
            np.where(near > 0, near + hedged(foreign, _ALSO_FOREIGN), near),
            foreign,
            margin_log_e,
            features,
            np.where(nearest.crowd > 0, np.maximum(self._log_e[self._rank_of(nearest)], 0), 0),
            repeated,
            label,
        )
        return measured, queries

    def _rank_of(self, nearest: Nearest) -> NDArray[np.int64]:
        """Return the rank of the oddest likeness."""
        return np.minimum(nearest.oddest, len(self._log_e) - 1)

    def _near_of(self, nearest: Nearest, group: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return evidence that the nearest query, whatever its answer, is too near."""
        d2 = np.minimum(nearest.d2, nearest.other_d2)
        same = (nearest.entries, self._near.rank(d2, group))
        return self._hazard.log_e(same, (nearest.others, self._cross.rank(d2, group)))

    def _tied_of(self, tied: NDArray[np.int64], compared: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return evidence that a query differs from an earlier one by too even an amount."""
        rank = self._tied.rank(-tied, np.zeros(len(tied), np.intp))
        return self._hazard.log_e((compared, rank))

    def _details(
        self,
        segments: Segments,
        shown: Shown,
        group: NDArray[np.intp],
        nearest: Nearest,
        near: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return what remains after a harmless explanation (1 + details, n), and remember views.

        Only what is near enough to matter is worth the time.
        """
        details = np.zeros((1 + len(DETAILS), len(near)), np.int64)
        new = ~nearest.repeated
        last = (last_kept(new), last_kept(new & (nearest.crowd > 0)))
        rows = np.flatnonzero((near > FIXED_POINT_ONE) & new)
        view, d2 = self.views.compared(segments, shown, last, rows)
        alike = (d2 >= 0) & (d2 <= self._alike_d2[group[rows]])
        rows, view = rows[alike], view[alike]
        details[0, rows] = FIXED_POINT_ONE
        details[1:, rows] = self._likeness.of(shown.view[rows], view).T
        self.views.remember(segments, shown, last)
        return details

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self.ring.table.reset(slots)
        self.repeats.table.reset(slots)
        self.ties.table.reset(slots)
        self.views.table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("ring", self.ring.snapshot(slots_used)),
            **nest("repeats", self.repeats.table.snapshot(slots_used)),
            **nest("ties", self.ties.table.snapshot(slots_used)),
            **nest("views", self.views.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self.ring.restore(pick("ring", arrays))
        self.repeats.table.restore(pick("repeats", arrays))
        self.ties.table.restore(pick("ties", arrays))
        self.views.restore(pick("views", arrays))


@cache
def descent_table() -> NDArray[np.int64]:
    """Return log e-values by size of the crowd and how many of it have no higher log odds.

    Among exchangeable queries the rank of the newest is uniform and independent of the ranks
    before it; an attack that feels its way to the boundary is the lowest again and again.
    """
    table = np.zeros((MEMORY + 1, MEMORY + 1), np.int64)
    for crowd in range(1, MEMORY + 1):
        table[crowd] = [log_e((1 + min(n, crowd)) / (1 + crowd)) for n in range(MEMORY + 1)]
    return table


def _distance(nearest: Nearest) -> NDArray[np.int64]:
    """Return how far the nearest query is, on a scale of doublings."""
    d2 = np.minimum(nearest.d2, nearest.other_d2)
    # An exponent, exact: half doublings of integers below 2**53.
    return np.asarray(np.frexp(d2.astype(np.float64) ** 2 + 1)[1] * FIXED_POINT_ONE // 2, np.int64)


@cache
def _logs() -> NDArray[np.int64]:
    return to_fixed(np.log2(1 + np.arange(MEMORY + 1))).astype(np.int64)
