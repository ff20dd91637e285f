"""The pincer: too close to the client's own queries, or too far from what the model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import TAIL_LEVELS, EvidenceSums, Rise, hedged
from detectors.query.adjudicator import HIDDEN_SHARE, withheld
from detectors.query.measure import Measure, Measured
from detectors.query.odd import ODD, odd_evidence
from detectors.query.ring import AT_ONCE, MEMORY, Queries
from detectors.query.runs import Runs
from detectors.registry import Kind, register
from detectors.tables import State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHANNELS = ("near", "far", "margin", "hidden")
#: Rank from which on an input is no stranger than one in fifty benign ones.
_ORDINARY = int(np.searchsorted(TAIL_LEVELS, 0.02))


class PincerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of the suspicious queries that must be about one thing to call it evasion."""

    concentrated_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1 / 3


@register(
    "query.pincer",
    PincerConfig,
    kinds={
        "evasion": Kind(
            severity="high",
            atlas=("AML.T0015", "AML.T0043.001", "AML.T0042"),
            owasp=("ML01:2023",),
        ),
        "extraction": Kind(
            severity="high",
            atlas=("AML.T0024.002", "AML.T0040"),
            owasp=("LLM06:2026", "LLM10:2025", "ML05:2023"),
        ),
    },
    cost="O(128) code distances and O(anchors of a class)",
    state_bytes=6000,
    needs_profile=True,
)
class Pincer:
    """Find clients that search round an input, or that query what no benign client does.

    Four channels bet against each query: *near* (smallest distance to the client's last 128
    queries, and changes by one and the same amount), *far* (distance to the anchors of the
    answered class, or something was done to the input), *margin* (how close to the decision
    boundary) and *hidden* (near again, with a small stake, for searches among ordinary queries). A
    search for an adversarial input must stay near; noise that hides the nearness carries the
    queries far. An exact re-send is no evidence.

    The finding is called evasion if the suspicious queries are about one thing, extraction if
    they roam.

    References
    ----------
    Chen, Carlini, Wagner. Stateful detection of black-box adversarial attacks. 2019.
    Sun et al. Out-of-distribution detection with deep nearest neighbors. ICML 2022.
    """

    version: ClassVar[int] = 4

    def __init__(self, config: PincerConfig, context: Context) -> None:
        profile = context.profile
        if profile is None:
            raise ValueError("query.pincer needs a profile")
        self._config = config
        self._profile = profile
        self._trees = profile.trees
        self._measure = Measure(profile, context.max_clients)
        self._runs = Runs(context.max_clients, len(ODD))
        self._sums = EvidenceSums(context.max_clients, len(CHANNELS), context.run_length_events)

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return (
            self._measure.bytes_per_client
            + self._runs.table.bytes_per_client
            + self._sums.table.bytes_per_client
        )

    def observe(self, piece: Piece) -> list[Crossing]:
        """Score, decide, then remember the queries of a piece."""
        rows = np.flatnonzero(piece.batch.scanned)
        if not len(rows):
            return []
        everything = Segments.of(rows, piece.slot[rows])
        if everything.counts.max() <= AT_ONCE:
            return self._round(piece, everything)
        turn = np.empty(len(rows), np.intp)
        turn[np.searchsorted(rows, everything.order)] = everything.rank // AT_ONCE
        crossings: list[Crossing] = []
        for index in range(int(turn.max()) + 1):
            now = rows[turn == index]
            crossings += self._round(piece, Segments.of(now, piece.slot[now]))
        return crossings

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._measure.reset(slots)
        self._runs.table.reset(slots)
        self._sums.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("measure", self._measure.snapshot(slots_used)),
            **nest("runs", self._runs.table.snapshot(slots_used)),
            **nest("sums", self._sums.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._measure.restore(pick("measure", arrays))
        self._runs.table.restore(pick("runs", arrays))
        self._sums.restore(pick("sums", arrays))

    def _round(self, piece: Piece, segments: Segments) -> list[Crossing]:
        """Handle at most `AT_ONCE` rows a client."""
        batch, order = piece.batch, segments.order
        measured, queries = self._measure.of(batch, segments)
        log_e = self._evidence(measured, segments)
        piece.near_log_e[order], piece.far_log_e[order] = log_e[:, 0], log_e[:, 1]
        piece.repeated[order] = measured.repeated
        rises = self._sums.update(segments, log_e, batch.time_us[order])
        crossings = [self._crossing(piece, segments, queries, rise) for rise in rises]
        self._measure.ring.remember(segments, queries)
        return crossings

    def _evidence(self, measured: Measured, segments: Segments) -> NDArray[np.int64]:
        """Return the evidence (n, channels) of queries; an exact repetition is none."""
        near = np.where(measured.repeated, 0, withheld(measured, self._trees))
        hidden = np.where(measured.repeated, 0, hedged(near, HIDDEN_SHARE))
        odd = odd_evidence(measured, segments, self._runs, self._profile.odd_offset)
        return np.column_stack([near, odd, hidden])

    def _crossing(self, piece: Piece, segments: Segments, queries: Queries, rise: Rise) -> Crossing:
        row = int(segments.order[rise.position])
        start = int(segments.starts[rise.group])
        fresh = queries.take(np.arange(start, rise.position + 1))
        held = self._measure.ring.recent(int(segments.slots[rise.group]), fresh, MEMORY)
        recent = held.take(np.arange(max(0, len(held.label) - rise.length), len(held.label)))
        radius_d2 = self._profile.neighbourhood_d2
        share = _concentration(recent, radius_d2)
        concentrated = share >= self._config.concentrated_share and _has_origin(held, radius_d2)
        strongest = int(np.argmax(rise.sums))
        return piece.crossing(
            row,
            kind="evasion" if concentrated else "extraction",
            level=rise.level,
            log_e=rise.sums[strongest],
            since_us=rise.since_us,
            usual=rise.usual,
            evidence={
                "channel": CHANNELS[strongest],
                **{
                    f"{name}_log_e": round(value / FIXED_POINT_ONE, 3)
                    for name, value in zip(CHANNELS, rise.sums, strict=True)
                },
                "queries": rise.length,
                "classes": len(np.unique(recent.label)),
                "concentration": round(share, 3),
            },
        )


def _has_origin(held: Queries, neighbourhood_d2: int) -> bool:
    """Tell whether one of the queries about the same thing looks ordinary: a search begins there.

    Noise is near other noise, and none of it is anything.
    """
    code = held.code.astype(np.int64)
    alike = ((code - code[-1]) ** 2).sum(axis=1) <= neighbourhood_d2
    return bool(held.strange[alike].max() >= _ORDINARY)


def _concentration(recent: Queries, neighbourhood_d2: int) -> float:
    """Return the share of the queries before the last one that are about the same thing."""
    if len(recent.label) < 2:
        return 1.0
    code = recent.code.astype(np.int64)
    d2 = ((code[:-1] - code[-1]) ** 2).sum(axis=1)
    return float((d2 <= neighbourhood_d2).sum()) / len(d2)
