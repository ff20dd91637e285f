"""What one query says, beside the client's earlier ones and the benign reference."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.batch import to_fixed
from detectors.evidence import TAIL_LEVELS, MeanBet, PooledTail, TailTable, log_e, log_e_table
from detectors.query.anchors import Anchors
from detectors.query.motion import Motion
from detectors.query.repeats import Repeats
from detectors.query.ring import MEMORY, Nearest, Queries, SketchRing
from detectors.query.shape import ShapeFit, shape_scores
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
FEATURES = (
    "near",
    "strange",
    "excess",
    "grain",
    "shape",
    "margin",
    "flip",
    "descent",
    "crowd",
    "age",
    "motion",
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
        self.ring = SketchRing(max_clients, profile.sketch_size)
        self.repeats = Repeats(max_clients)
        self._anchors = Anchors(profile.anchors, profile.anchor_starts)
        self._near = TailTable(profile.near_thresholds)
        self._far = PooledTail(profile.far_scale, profile.far_thresholds)
        self._margin = TailTable(profile.margin_thresholds)
        self._shape_fit = ShapeFit(profile.shape_matrix, profile.shape_offset)
        self._shape = PooledTail(profile.shape_scale, profile.shape_thresholds)
        self._grain = PooledTail(profile.grain_scale, profile.grain_thresholds)
        self._close_d2 = profile.near_thresholds[:, _CLOSE_LEVEL]
        self._near_log_e = near_log_e_table()
        self._log_e = log_e_table()[1]
        self._mean = MeanBet()
        self._motion = Motion(profile.sketch_grid)

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return self.ring.table.bytes_per_client + self.repeats.table.bytes_per_client

    def of(self, batch: Batch, segments: Segments) -> tuple[Measured, Queries]:
        """Measure the rows of ``segments``; nothing but their payloads is remembered yet."""
        order = segments.order
        label, sketch = batch.label[order], batch.sketch[order]
        group = self._profile.group_of(label)
        far = self._far.rank(self._anchors.distance(batch.embedding[order], group), group)
        shape = self._shape.rank(shape_scores(self._shape_fit, sketch), group)
        grain = self._grain.rank(batch.grain[order], group)
        strange = np.minimum(np.minimum(far, shape), grain)
        payload = batch.payload_hash[order]
        queries = Queries.of(sketch, label, payload, batch.log_odds[order], strange)
        nearest = self.ring.nearest(segments, queries, self._close_d2[group])
        margin = batch.margin[order]
        margin_log_e = np.where(margin >= 0, self._log_e[self._margin.rank(margin, group)], 0)
        near = self._near_log_e[nearest.entries, self._near.rank(nearest.d2, group)]
        features = np.stack(
            [
                near,
                self._log_e[strange],
                np.where(
                    nearest.crowd > 0, self._log_e[strange] - self._log_e[nearest.likeness], 0
                ),
                self._log_e[grain],
                self._log_e[shape],
                margin_log_e,
                self._flip(nearest, group),
                np.where(margin >= 0, descent_table()[nearest.crowd, nearest.lower], 0),
                _logs()[nearest.crowd],
                _logs()[nearest.age],
                self._motion_of(near, nearest, sketch),
            ],
            axis=1,
        )
        foreign = self._mean.log_e(far, shape, grain)
        measured = Measured(
            near,
            np.where(near > 0, self._mean.of_two(near, foreign), near),
            foreign,
            margin_log_e,
            features,
            nearest.repeated | self.repeats.seen(segments, payload),
            label,
        )
        return measured, queries

    def _motion_of(
        self, near: NDArray[np.int64], nearest: Nearest, sketch: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Return how much a camera's motion explains; only near queries are worth the time."""
        motion = np.zeros(len(near), np.int64)
        rows = np.flatnonzero((near > 0) & (nearest.age > 0))
        motion[rows] = self._motion.explained(sketch[rows], nearest.sketch[rows])
        return motion

    def _flip(self, nearest: Nearest, group: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return evidence that the nearest query got another answer: a boundary lies between."""
        log_e = self._near_log_e[nearest.others, self._near.rank(nearest.other_d2, group)]
        return np.where(nearest.other_d2 < nearest.d2, log_e, 0)

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self.ring.table.reset(slots)
        self.repeats.table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("ring", self.ring.snapshot(slots_used)),
            **nest("repeats", self.repeats.table.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self.ring.restore(pick("ring", arrays))
        self.repeats.table.restore(pick("repeats", arrays))


@cache
def near_log_e_table() -> NDArray[np.int64]:
    """Return log e-values by entries and rank, see `detectors.evidence.log_e_table`."""
    return log_e_table(MEMORY)


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


@cache
def _logs() -> NDArray[np.int64]:
    return to_fixed(np.log2(1 + np.arange(MEMORY + 1))).astype(np.int64)
