"""Detection over the frames of one partition, without Kafka: replay runs the very same code."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import Fatal
from detectors.batch import FIXED_POINT_ONE
from detectors.suite import Suite
from streams.columns import codes
from streams.featurise import to_batch
from streams.frames import AUDIT_SCHEMA
from streams.positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from detectors.finding import Finding
    from models.profiles import LoadedProfile
    from streams.content.keeper import Kept

#: Models beyond this many are audited as not scanned: a name costs nothing to invent.
MAX_MODELS = 64
SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a user may want of the detectors."""

    run_length_events: int
    max_clients: int
    lateness_s: float
    config_hash: str = ""


@dataclass(frozen=True, slots=True)
class Detected:
    """What came out of a batch of interactions."""

    findings: list[Finding]
    audit: pa.RecordBatch
    replayed: int


class Engine:
    """Embeds interactions, runs the detectors of each model, and tells what was seen.

    Attributes
    ----------
    unscanned
        Interactions of models there was no room for.
    """

    def __init__(
        self,
        profiles: Mapping[str, LoadedProfile],
        options: EngineOptions,
        keep: Callable[[pa.RecordBatch], Kept] | None = None,
    ) -> None:
        self._keep = keep
        self._profiles = profiles
        self._options = options
        self._positions = Positions()
        self._suites: dict[str, Suite] = {}
        self._rows: dict[str, int] = {}
        self.unscanned = 0

    def process(self, batch: pa.RecordBatch) -> Detected:
        """Run all detectors over interactions in stream order.

        Parameters
        ----------
        batch
            Rows in `streams.frames.INTERACTION_SCHEMA`; those seen before are dropped.
        """
        fresh = self._positions.fresh(batch)
        replayed = int(len(fresh) - fresh.sum())
        if replayed:
            batch = batch.filter(pa.array(fresh))
        columns = _AuditColumns(batch.num_rows)
        findings: list[Finding] = []
        if batch.num_rows:
            watermark = self._positions.watermarks(batch)
            model, names = codes(batch.column("model"))
            for code, name in enumerate(names):
                rows = np.flatnonzero(model == code)
                findings += self._process_model(str(name), batch, rows, watermark, columns)
        kept = self._keep(batch) if self._keep else None
        return Detected(findings, _audit_frame(batch, columns, kept), replayed)

    def finish(self) -> list[Finding]:
        """Close open windows: the recording has ended."""
        return [finding for suite in self._suites.values() for finding in suite.finish()]

    def _process_model(
        self,
        model: str,
        batch: pa.RecordBatch,
        rows: NDArray[np.intp],
        watermark: NDArray[np.int64],
        columns: _AuditColumns,
    ) -> list[Finding]:
        suite = self._suite(model)
        if suite is None:
            self.unscanned += len(rows)
            return []
        if len(rows) < batch.num_rows:
            batch, watermark = batch.take(pa.array(rows)), watermark[rows]
        profile = self._profiles.get(model)
        seen = to_batch(batch, watermark, self._rows[model], profile.encoder if profile else None)
        self._rows[model] += len(seen)
        observed = suite.observe(seen)
        columns.scanned[rows] = seen.scanned
        columns.confidence[rows] = seen.confidence
        columns.near[rows] = observed.near_log_e
        columns.far[rows] = observed.far_log_e
        return observed.findings

    def _suite(self, model: str) -> Suite | None:
        if model not in self._suites:
            if len(self._suites) >= MAX_MODELS and model not in self._profiles:
                return None
            self._suites[model] = self._new_suite(model)
            self._rows[model] = 0
        return self._suites[model]

    def _new_suite(self, model: str) -> Suite:
        loaded = self._profiles.get(model)
        return Suite(
            model,
            loaded.profile if loaded else None,
            run_length_events=self._options.run_length_events,
            max_clients=self._options.max_clients,
            lateness_us=int(self._options.lateness_s * 1e6),
            config=self._options.config_hash,
            clock=time.perf_counter,
        )

    @property
    def clients(self) -> int:
        """How many clients are held in memory."""
        return sum(suite.clients for suite in self._suites.values())

    @property
    def evicted(self) -> int:
        """How many clients were forgotten for want of room."""
        return sum(suite.evicted for suite in self._suites.values())

    @property
    def state_keys(self) -> Counter[str]:
        """Clients that each detector keeps something of, over all models."""
        return sum((Counter(suite.state_keys) for suite in self._suites.values()), Counter())

    def take_busy_s(self) -> Counter[str]:
        """Return how long each detector has computed since the last call."""
        total: Counter[str] = Counter()
        for suite in self._suites.values():
            total.update(suite.busy_s)
            suite.busy_s = dict.fromkeys(suite.busy_s, 0.0)
        return total

    @property
    def bytes_per_client(self) -> float:
        """State per client slot, the largest over models."""
        return max((suite.bytes_per_client for suite in self._suites.values()), default=0.0)

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], bytes]:
        """Return all state as arrays and a JSON text."""
        models = list(self._suites)
        arrays = {
            f"{index}/{name}": array
            for index, model in enumerate(models)
            for name, array in self._suites[model].snapshot().items()
        }
        meta = _Meta(
            version=SNAPSHOT_VERSION,
            models=models,
            rows=[self._rows[model] for model in models],
            digests=[self._digest(model) for model in models],
            positions=msgspec.Raw(self._positions.snapshot()),
        )
        return arrays, msgspec.json.encode(meta)

    def restore(self, arrays: Mapping[str, NDArray[Any]], meta: bytes) -> None:
        """Bring back what `snapshot` returned.

        The state of a model whose profile has changed since is left out: its evidence was
        measured with another yardstick.

        Raises
        ------
        Fatal
            If the snapshot is of another version.
        """
        state = msgspec.json.decode(meta, type=_Meta)
        if state.version != SNAPSHOT_VERSION:
            raise Fatal(f"state snapshot has version {state.version}, not {SNAPSHOT_VERSION}")
        self._positions.restore(bytes(state.positions))
        for index, (model, rows, digest) in enumerate(
            zip(state.models, state.rows, state.digests, strict=True)
        ):
            if digest != self._digest(model):
                continue
            prefix = f"{index}/"
            suite = self._suites[model] = self._new_suite(model)
            self._rows[model] = rows
            suite.restore(
                {
                    name.removeprefix(prefix): array
                    for name, array in arrays.items()
                    if name.startswith(prefix)
                }
            )

    def _digest(self, model: str) -> str:
        loaded = self._profiles.get(model)
        return loaded.digest if loaded else ""


class _Meta(msgspec.Struct):
    version: int
    models: list[str]
    rows: list[int]
    digests: list[str]
    positions: msgspec.Raw


class _AuditColumns:
    """What detection adds to each row of the audit."""

    def __init__(self, rows: int) -> None:
        self.scanned = np.zeros(rows, np.bool_)
        self.confidence = np.full(rows, -1, np.int32)
        self.near = np.zeros(rows, np.int32)
        self.far = np.zeros(rows, np.int32)


def _audit_frame(
    batch: pa.RecordBatch, columns: _AuditColumns, kept: Kept | None
) -> pa.RecordBatch:
    known = columns.confidence >= 0
    added = {
        "prompt_chars": pc.utf8_length(batch.column("prompt")).cast(pa.int32()),
        "completion_chars": pc.utf8_length(batch.column("completion")).cast(pa.int32()),
        "input_bytes": pc.binary_length(batch.column("input")).cast(pa.int32()),
        "scanned": pa.array(columns.scanned),
        "confidence": pa.array(_real(columns.confidence), mask=~known),
        "near_log_e": pa.array(_real(columns.near), mask=~columns.scanned),
        "far_log_e": pa.array(_real(columns.far), mask=~columns.scanned),
        "content_key": kept.key if kept else pa.nulls(batch.num_rows, pa.string()),
        "content": kept.data if kept else pa.nulls(batch.num_rows, pa.binary()),
    }
    arrays = [
        added[field.name] if field.name in added else batch.column(field.name)
        for field in AUDIT_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=AUDIT_SCHEMA)


def _real(fixed: NDArray[np.int32]) -> NDArray[np.float32]:
    return (fixed / FIXED_POINT_ONE).astype(np.float32)
