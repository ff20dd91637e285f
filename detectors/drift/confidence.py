"""Drift of a model's confidence, per answered class and over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np
from river.drift import ADWIN

from detectors.base import Context, Crossing, Piece
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
#: Clients counted per input; the rest are lumped together.
MAX_COUNTED = 1024


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
    """Answers gathered for the next input of a stream."""

    total: int = 0
    count: int = 0
    clients: dict[str, int] = field(default_factory=dict)

    def note(self, total: int, count: int, client: str) -> None:
        self.total += total
        self.count += count
        known = self.clients.get(client)
        if known is not None or len(self.clients) < MAX_COUNTED:
            self.clients[client] = (known or 0) + count

    def add(self, other: _Tally) -> None:
        self.total += other.total
        self.count += other.count
        for client, count in other.clients.items():
            if client in self.clients or len(self.clients) < MAX_COUNTED:
                self.clients[client] = self.clients.get(client, 0) + count


@dataclass(slots=True)
class _Block:
    """An open block: what it holds per stream, and its last row."""

    tallies: dict[int, _Tally] = field(default_factory=dict)
    last_id: str = ""
    last_us: int = 0


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

    version: ClassVar[int] = 1

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
        batch = piece.batch
        label = batch.label[rows]
        stream = np.where((label < 0) | (label >= MAX_LABELS), MAX_LABELS, label).astype(np.int64)
        keys = np.stack([index, stream, batch.client[rows]], axis=1)
        groups, first, inverse, counts = _unique_rows(keys)
        totals = np.zeros(len(groups), np.int64)
        np.add.at(totals, inverse, batch.confidence[rows])
        named, total_of, count_of = groups.tolist(), totals.tolist(), counts.tolist()
        for at in np.argsort(first).tolist():
            block_index, stream_index, client = named[at]
            block = self._open.get(block_index)
            if block is None:
                block = self._open[block_index] = _Block()
            for target in (stream_index, EVERYTHING):
                tally = block.tallies.get(target)
                if tally is None:
                    tally = block.tallies[target] = _Tally()
                tally.note(total_of[at], count_of[at], batch.clients[client])
        for block_index in np.unique(index).tolist():
            row = int(rows[np.flatnonzero(index == block_index)[-1]])
            block = self._open[block_index]
            block.last_id, block.last_us = batch.interaction_id(row), int(batch.time_us[row])

    def _close(self, index: int, row: int) -> list[Crossing]:
        block = self._open.pop(index)
        everything = block.tallies.get(EVERYTHING)
        self._events += everything.count if everything else 0
        crossings = []
        for stream in sorted(block.tallies):
            pending = self._pending.setdefault(stream, _Tally())
            pending.add(block.tallies[stream])
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
        means = (before / _SCALE, after / _SCALE)
        return self._crossing(stream, tally, block, row, means)

    def _crossing(
        self, stream: int, tally: _Tally, block: _Block, row: int, means: tuple[float, float]
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
                "confidence_before": round(means[0], 4),
                "confidence_after": round(means[1], 4),
                "changes": self._level[stream],
                "clients": len(tally.clients),
                "largest_client_share": round(max(tally.clients.values()) / tally.count, 3),
            },
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _unique_rows(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return unique rows, first positions, inverse and counts; faster than `numpy.unique`."""
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    new = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]
    inverse = np.empty(len(keys), np.intp)
    inverse[order] = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    return ordered[starts], order[starts], inverse, np.diff(np.r_[starts, len(keys)])


def _pack(entries: list[tuple[int, int, _Tally]]) -> State:
    clients = [item for _, _, tally in entries for item in tally.clients.items()]
    rows = [(block, s, t.total, t.count, len(t.clients)) for block, s, t in entries]
    return {
        "rows": np.array(rows, np.int64),
        "counts": np.array([count for _, count in clients], np.int64),
        **nest("clients", pack_texts(name for name, _ in clients)),
    }


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> list[tuple[int, int, _Tally]]:
    names = unpack_texts(pick("clients", arrays))
    counted = list(zip(names, arrays["counts"].tolist(), strict=True))
    entries, at = [], 0
    for block, stream, total, count, clients in arrays["rows"].reshape(-1, 5).tolist():
        tally = _Tally(total, count, dict(counted[at : at + clients]))
        entries.append((block, stream, tally))
        at += clients
    return entries
