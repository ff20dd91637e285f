"""Clients whose ten-second windows look like nobody else's."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np
from river.anomaly import HalfSpaceTrees

from detectors.base import Context, Crossing, Piece, Usual
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import CAP, ESCALATIONS, log_e
from detectors.registry import Kind, register
from detectors.tables import State, nest, pack_texts, pick, unpack_texts
from detectors.windows.clock import WindowClock
from detectors.windows.vectors import FEATURES, OpenWindows, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

WINDOW_US = 10_000_000
#: Vectors that River's trees take for one of their windows.
TREE_WINDOW = 250
#: Vectors that set the scale, and then scores that later ones are ranked against.
SCALING = 250
REFERENCE = 500
#: Clients under evidence that are remembered; those that recover cost nothing.
MAX_SUSPECTS = 4096
_SCORE_UNIT = 1 << 24
#: A name, two numbers and their place in a dictionary, roughly.
_OWN_BYTES = 300


class HalfSpaceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of the trees, and the least number of events of a window worth a look."""

    trees: Annotated[int, msgspec.Meta(ge=1, le=50)] = 25
    height: Annotated[int, msgspec.Meta(ge=1, le=12)] = 6
    min_events: Annotated[int, msgspec.Meta(ge=1)] = 8


class _Suspect:
    """Evidence against one client."""

    __slots__ = ("level", "since_us", "sum")

    def __init__(self, total: int, level: int, since_us: int) -> None:
        self.sum, self.level, self.since_us = total, level, since_us


@register(
    "windows.half_space",
    HalfSpaceConfig,
    kinds={"anomaly": Kind(severity="low", atlas=("AML.T0040",))},
    cost="O(trees x height) a window",
    state_bytes=448,
)
class HalfSpaceWindows:
    """One shared River HalfSpaceTrees over per-client window vectors.

    The first windows set the scale and the reference scores; after that the scores' ranks feed an
    e-CUSUM per client. Windows of clients under alarm are not learned: half-space trees would
    take a cluster of anomalies for a new normal.

    References
    ----------
    Tan, Ting, Liu. Fast anomaly detection for streaming data. IJCAI 2011.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: HalfSpaceConfig, context: Context) -> None:
        self._config = config
        self._seed = context.seed
        self._threshold = math.ceil(math.log(context.run_length_events) * FIXED_POINT_ONE)
        self._clock = WindowClock(WINDOW_US, context.lateness_us)
        self._windows = OpenWindows(context.max_clients)
        self._warm: list[list[float]] = []
        self._learned: list[list[float]] = []
        self._reference: list[int] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self._suspects: dict[str, _Suspect] = {}
        #: Sum and number of the scores of clients while nothing was held against them.
        self._own: dict[str, tuple[int, int]] = {}
        self._max_clients = context.max_clients
        self._trees = self._new_trees()

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one open window and of what its client's scores were."""
        return self._windows.bytes_per_client + _OWN_BYTES

    def observe(self, piece: Piece) -> list[Crossing]:
        """Add the rows of a piece and score the windows whose time has come."""
        windows = self._clock.advance(piece.batch)
        self._windows.add(piece, windows)
        crossings = []
        for window in self._windows.due(self._clock.closed_to):
            crossing = self._close(window, windows.closing_row(window.number))
            crossings += [crossing] if crossing else []
        return crossings

    def finish(self) -> list[Crossing]:
        """Close all windows."""
        closed = (self._close(window, 0) for window in self._windows.due(None))
        return [crossing for crossing in closed if crossing]

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Nothing is kept by slot."""

    def snapshot(self, slots_used: int) -> State:  # noqa: ARG002 - no state by slot
        """Return all state as arrays."""
        width = len(FEATURES)
        suspects = list(self._suspects.values())
        return {
            "clock": self._clock.snapshot(),
            "warm": np.array(self._warm, np.float64).reshape(-1, width),
            "learned": np.array(self._learned, np.float64).reshape(-1, width),
            "reference": np.array(self._reference, np.int64),
            "scale": np.array([self._low, self._high], np.float64),
            "suspects": np.array([(s.sum, s.level, s.since_us) for s in suspects], np.int64),
            **nest("names", pack_texts(self._suspects)),
            "own": np.array(list(self._own.values()), np.int64),
            **nest("known", pack_texts(self._own)),
            **nest("open", self._windows.snapshot()),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned; the trees learn their vectors again."""
        self._clock.restore(arrays["clock"])
        self._warm, self._learned = arrays["warm"].tolist(), arrays["learned"].tolist()
        self._reference = arrays["reference"].tolist()
        self._low, self._high = arrays["scale"].tolist()
        names = unpack_texts(pick("names", arrays))
        rows = arrays["suspects"].reshape(-1, 3).tolist()
        self._suspects = {name: _Suspect(*row) for name, row in zip(names, rows, strict=True)}
        self._restore_own(arrays)
        self._windows.restore(pick("open", arrays))
        self._trees = self._new_trees()
        for vector in self._learned:
            self._trees.learn_one(dict(zip(FEATURES, vector, strict=True)))

    def _restore_own(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        known = pick("known", arrays)
        # Snapshots made before clients' own scores were kept have none.
        names = unpack_texts(known) if known else []
        rows = arrays.get("own", np.zeros(0, np.int64)).reshape(-1, 2).tolist()
        self._own = {name: (total, count) for name, (total, count) in zip(names, rows, strict=True)}

    def _new_trees(self) -> HalfSpaceTrees:
        return HalfSpaceTrees(
            n_trees=self._config.trees,
            height=self._config.height,
            window_size=TREE_WINDOW,
            seed=self._seed,
        )

    def _close(self, window: Window, row: int) -> Crossing | None:
        if window.events < self._config.min_events:
            return None
        vector = window.vector()
        if not self._low:
            self._warm.append(vector)
            if len(self._warm) >= SCALING:
                self._set_scale()
            return None
        scaled = self._scale(vector)
        score = self._score(scaled)
        if len(self._reference) < REFERENCE:
            bisect.insort(self._reference, score)
            self._learn(scaled)
            self._learn_own(window.client, score)
            return None
        crossing, alarmed = self._decide(window, score, row)
        if not alarmed:
            self._learn(scaled)
        return crossing

    def _decide(self, window: Window, score: int, row: int) -> tuple[Crossing | None, bool]:
        stranger = len(self._reference) - bisect.bisect_left(self._reference, score)
        bet = log_e((1 + stranger) / (1 + len(self._reference)))
        suspect = self._suspects.pop(window.client, None) or _Suspect(0, 0, window.start_us)
        suspect.sum = min(CAP * self._threshold, suspect.sum + bet)
        if suspect.sum <= 0:
            self._learn_own(window.client, score)
            return None, False
        self._suspects[window.client] = suspect
        if len(self._suspects) > MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]
        reached = sum(suspect.sum >= factor * self._threshold for factor in ESCALATIONS)
        if reached <= suspect.level:
            return None, suspect.level > 0
        suspect.level = reached
        return self._crossing(window, suspect, score, row), True

    def _crossing(self, window: Window, suspect: _Suspect, score: int, row: int) -> Crossing:
        named = zip(FEATURES, self._scale(window.vector()), strict=True)
        total, count = self._own.get(window.client, (0, 0))
        median = self._reference[len(self._reference) // 2]
        return Crossing(
            row=row,
            time_us=window.last_us,
            trigger=window.last_id,
            subject_type="client",
            subject=window.client,
            kind="anomaly",
            level=suspect.level,
            log_e=suspect.sum,
            since_us=suspect.since_us,
            events=window.seen,
            usual=Usual("score", total / max(1, count) / _SCORE_UNIT, count),
            evidence={
                "score": round(score / _SCORE_UNIT, 4),
                "cohort_score": round(median / _SCORE_UNIT, 4),
                "window_events": window.events,
                **{name: round(value, 3) for name, value in named},
            },
        )

    def _learn_own(self, client: str, score: int) -> None:
        total, count = self._own.pop(client, (0, 0))
        self._own[client] = total + score, count + 1
        if len(self._own) > self._max_clients:
            del self._own[next(iter(self._own))]

    def _set_scale(self) -> None:
        """Freeze the scale: the middle 96 % of the first windows fill the middle of [0, 1]."""
        ordered = np.sort(np.array(self._warm), axis=0)
        edge = len(ordered) // 50
        low, high = ordered[edge], ordered[-1 - edge]
        margin = np.maximum((high - low) / 2, 1e-3)
        self._low, self._high = (low - margin).tolist(), (high + margin).tolist()
        for vector in self._warm:
            self._learn(self._scale(vector))
        self._warm = []

    def _scale(self, vector: list[float]) -> list[float]:
        triples = zip(vector, self._low, self._high, strict=True)
        return [min(1.0, max(0.0, (x - low) / (high - low))) for x, low, high in triples]

    def _score(self, scaled: list[float]) -> int:
        value = self._trees.score_one(dict(zip(FEATURES, scaled, strict=True)))
        score: int = round(value * _SCORE_UNIT)
        return score

    def _learn(self, scaled: list[float]) -> None:
        self._trees.learn_one(dict(zip(FEATURES, scaled, strict=True)))
        self._learned.append(scaled)
        if len(self._learned) >= 2 * TREE_WINDOW:
            # The trees score by their last full window; what came before it is gone.
            del self._learned[:TREE_WINDOW]
