"""Drift of a model's confidence, per answered class and over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np
from river.drift import ADWIN

from detectors.base import Context, Crossing, Piece, Usual
from detectors.batch import FIXED_POINT_ONE
from detectors.registry import Kind, register
from detectors.tables import State, nest, pack_texts, pick, unpack_texts
from detectors.windows.clock import WindowClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BLOCK_US = 5_000_000
#: Labels from here on share one stream; the last stream is that of all answers.
MAX_LABELS = 64
EVERYTHING = MAX_LABELS + 1
#: ADWIN starts afresh after so many inputs: its state is then a bounded list of them.
MAX_INPUTS = 4096
#: ADWIN's bound has a term for values that fill [0, 1], which for means of many answers hides
#: every change below a quarter. Scaled up, the variance decides.
_SCALE = 256
_GAIN = _SCALE / FIXED_POINT_ONE
#: Counters of clients per input: exact for so many, beyond them some share one.
COUNTERS = 4096


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a change of the mean confidence is worth a finding.

    ``delta`` is ADWIN's significance, ``min_events`` the least number of answers in an input,
    ``min_change`` the smallest change of the mean.
    """

    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-4
    min_events: Annotated[int, msgspec.Meta(ge=1)] = 32
    min_change: Annotated[float, msgspec.Meta(ge=0)] = 0.01


@dataclass(slots=True)
class _Tally:
    """Answers gathered for the next input of a stream; ``clients`` int32 counts by slot."""

    total: int = 0
    count: int = 0
    clients: NDArray[np.int32] = field(default_factory=lambda: np.zeros(COUNTERS, np.int32))

    def add(self, total: int, count: int, clients: NDArray[np.int32]) -> None:
        self.total += total
        self.count += count
        self.clients += clients


@dataclass(slots=True)
class _Block:
    """An open block: what it holds per stream, and its last row."""

    tallies: dict[int, _Tally] = field(default_factory=dict)
    last_id: str = ""
    last_us: int = 0

    def add(self, stream: int, confidence: NDArray[np.int64], counter: NDArray[np.intp]) -> None:
        """Add answers to one stream."""
        counts = np.bincount(counter, minlength=COUNTERS).astype(np.int32)
        tally = self.tallies.setdefault(stream, _Tally())
        tally.add(int(confidence.sum()), len(confidence), counts)


@register(
    "drift.confidence",
    DriftConfig,
    kinds={"drift": Kind(severity="medium", atlas=("AML.T0031",), owasp=("ML08:2023",))},
    cost="O(1), ADWIN per block",
    state_bytes=0,
)
class ConfidenceDrift:
    """Run River's ADWIN on mean confidences of five-second blocks.

    Blocks are of event time and close by the watermark; those with few answers are joined. The
    evidence says how many clients took part and what share the busiest had: one client that
    probes looks different from a population that drifts.

    References
    ----------
    Bifet, Gavalda. Learning from time-changing data with adaptive windowing. SDM 2007.
    """

    version: ClassVar[int] = 2

    def __init__(self, config: DriftConfig, context: Context) -> None:
        self._config = config
        self._model = context.model
        self._run_length = context.run_length_events
        self._clock = WindowClock(BLOCK_US, context.lateness_us)
        self._open: dict[int, _Block] = {}
        self._pending: dict[int, _Tally] = {}
        self._inputs: dict[int, list[float]] = {}
        self._adwin: dict[int, ADWIN] = {}
        self._level: dict[int, int] = {}
        self._events = 0

    @property
    def bytes_per_client(self) -> int:
        """No state per client."""
        return 0

    def observe(self, piece: Piece) -> list[Crossing]:
        """Add the answers of a piece and close the blocks whose time has come."""
        batch = piece.batch
        windows = self._clock.advance(batch)
        rows = np.flatnonzero(windows.on_time & (batch.confidence >= 0))
        if len(rows):
            self._add(piece, rows, windows.number[rows])
        due = sorted(block for block in self._open if block < self._clock.closed_to)
        return [
            crossing for block in due for crossing in self._close(block, windows.closing_row(block))
        ]

    def finish(self) -> list[Crossing]:
        """Close all blocks."""
        return [crossing for block in sorted(self._open) for crossing in self._close(block, 0)]

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Nothing is kept per client."""

    def snapshot(self, slots_used: int) -> State:  # noqa: ARG002 - no state per client
        """Return all state as arrays."""
        blocks = sorted(self._open)
        streams = sorted(self._inputs)
        return {
            "clock": self._clock.snapshot(),
            "events": np.array([self._events], np.int64),
            "blocks": np.array([(b, self._open[b].last_us) for b in blocks], np.int64),
            **nest("ids", pack_texts(self._open[b].last_id for b in blocks)),
            **nest(
                "open", _pack([(b, s, t) for b in blocks for s, t in self._open[b].tallies.items()])
            ),
            **nest("pending", _pack([(0, s, t) for s, t in self._pending.items()])),
            "streams": np.array(
                [(s, len(self._inputs[s]), self._level.get(s, 0)) for s in streams], np.int64
            ),
            "inputs": np.array([x for s in streams for x in self._inputs[s]], np.float64),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned; ADWIN sees its inputs again."""
        self._clock.restore(arrays["clock"])
        self._events = int(arrays["events"][0])
        ids = unpack_texts(pick("ids", arrays))
        self._open = {
            block: _Block(last_id=last_id, last_us=last_us)
            for (block, last_us), last_id in zip(
                arrays["blocks"].reshape(-1, 2).tolist(), ids, strict=True
            )
        }
        for block, stream, tally in _unpack(pick("open", arrays)):
            self._open[block].tallies[stream] = tally
        self._pending = {stream: tally for _, stream, tally in _unpack(pick("pending", arrays))}
        self._inputs, self._adwin, self._level = {}, {}, {}
        inputs, at = arrays["inputs"].tolist(), 0
        for stream, length, level in arrays["streams"].reshape(-1, 3).tolist():
            self._inputs[stream] = inputs[at : at + length]
            self._level[stream] = level
            adwin = self._adwin[stream] = self._new()
            for value in self._inputs[stream]:
                adwin.update(value)
            at += length

    def _new(self) -> ADWIN:
        return ADWIN(delta=self._config.delta, clock=1)

    def _add(self, piece: Piece, rows: NDArray[np.intp], index: NDArray[np.int64]) -> None:
        label = piece.batch.label[rows]
        stream = np.where((label < 0) | (label >= MAX_LABELS), MAX_LABELS, label)
        confidence = piece.batch.confidence[rows].astype(np.int64)
        counter = piece.slot[rows] % COUNTERS
        for number in np.unique(index).tolist():
            inside = np.flatnonzero(index == number)
            block = self._open.setdefault(number, _Block())
            for one in np.unique(stream[inside]).tolist():
                chosen = inside[stream[inside] == one]
                block.add(one, confidence[chosen], counter[chosen])
            block.add(EVERYTHING, confidence[inside], counter[inside])
            last = int(rows[inside[-1]])
            block.last_id = piece.batch.interaction_id(last)
            block.last_us = int(piece.batch.time_us[last])

    def _close(self, index: int, row: int) -> list[Crossing]:
        block = self._open.pop(index)
        everything = block.tallies.get(EVERYTHING)
        self._events += everything.count if everything else 0
        crossings = []
        for stream in sorted(block.tallies):
            pending = self._pending.setdefault(stream, _Tally())
            tally = block.tallies[stream]
            pending.add(tally.total, tally.count, tally.clients)
            if pending.count >= self._config.min_events:
                del self._pending[stream]
                crossing = self._learn(stream, pending, block, row)
                crossings += [crossing] if crossing else []
        return crossings

    def _learn(self, stream: int, tally: _Tally, block: _Block, row: int) -> Crossing | None:
        inputs = self._inputs.setdefault(stream, [])
        if stream not in self._adwin or len(inputs) >= MAX_INPUTS:
            self._adwin[stream] = self._new()
            inputs.clear()
        value = tally.total / tally.count * _GAIN
        adwin = self._adwin[stream]
        adwin.update(value)
        inputs.append(value)
        if not adwin.drift_detected:
            return None
        split = max(1, len(inputs) - int(adwin.width))
        before, after = _mean(inputs[:split]), _mean(inputs[split:] or inputs[-1:])
        del self._adwin[stream]
        inputs.clear()
        if abs(after - before) < self._config.min_change * _SCALE:
            return None
        self._level[stream] = self._level.get(stream, 0) + 1
        usual = Usual("confidence", before / _SCALE, split)
        return self._crossing(stream, tally, block, row, after, usual)

    def _crossing(
        self, stream: int, tally: _Tally, block: _Block, row: int, after: float, usual: Usual
    ) -> Crossing:
        return Crossing(
            row=row,
            time_us=block.last_us,
            trigger=block.last_id,
            subject_type="model",
            subject=self._model,
            kind="drift",
            level=1,
            log_e=0,
            since_us=block.last_us - block.last_us % BLOCK_US,
            events=self._events,
            evidence={
                "label": {EVERYTHING: "all", MAX_LABELS: "other"}.get(stream, str(stream)),
                "confidence": round(after / _SCALE, 4),
                "changes": self._level[stream],
                "clients": int(np.count_nonzero(tally.clients)),
                "largest_client_share": round(int(tally.clients.max()) / tally.count, 3),
            },
            usual=usual,
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _pack(entries: list[tuple[int, int, _Tally]]) -> State:
    rows = [(block, stream, tally.total, tally.count) for block, stream, tally in entries]
    counts = [tally.clients for *_, tally in entries]
    return {
        "rows": np.array(rows, np.int64).reshape(-1, 4),
        "counts": np.array(counts, np.int32).reshape(-1, COUNTERS),
    }


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> list[tuple[int, int, _Tally]]:
    return [
        (block, stream, _Tally(total, count, clients.copy()))
        for (block, stream, total, count), clients in zip(
            arrays["rows"].tolist(), arrays["counts"], strict=True
        )
    ]
