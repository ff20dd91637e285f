"""Replay: run detection over a recording, without a broker, with identical findings each time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from streams.columns import times_us
from streams.recording import READ_ROWS, read_recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from detectors.finding import Finding
    from streams.engine import Engine

Speed = Literal["max", "real"]


@dataclass(slots=True)
class ReplaySummary:
    """What a replay saw and what it cost."""

    events: int = 0
    replayed: int = 0
    clients: int = 0
    scanned: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    detect_s: float = 0.0
    bytes_per_client: float = 0.0

    @property
    def us_per_event(self) -> float:
        """Time the detectors took per event, in microseconds."""
        return self.detect_s / self.events * 1e6 if self.events else 0.0


def replay(
    path: Path,
    engine: Engine,
    *,
    batch_rows: int = READ_ROWS,
    speed: Speed = "max",
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Finding], ReplaySummary]:
    """Detect over a recording.

    Parameters
    ----------
    path
        Parquet or Arrow IPC in the schema ``interaction.v1``.
    engine
        A fresh engine; the one the ``detect`` role runs.
    batch_rows
        How the stream is cut; has no influence on the findings.
    speed
        ``max``, or ``real`` to keep the pace of the event times.
    progress
        Told the number of rows after each batch.

    Returns
    -------
    findings
        Sorted by time and id, so that equal findings make equal files.
    summary
        Counts and cost.
    """
    summary = ReplaySummary()
    findings: list[Finding] = []
    for batch in _paced(read_recording(path, batch_rows=batch_rows), speed):
        started_s = time.perf_counter()
        detected = engine.process(batch)
        summary.detect_s += time.perf_counter() - started_s
        findings += detected.findings
        summary.events += detected.audit.num_rows
        summary.replayed += detected.replayed
        summary.scanned += detected.audit.column("scanned").true_count
        if progress:
            progress(batch.num_rows)
    findings += engine.finish()
    findings.sort(key=lambda finding: (finding.time, finding.id))
    for finding in findings:
        key = f"{finding.kind} ({finding.detector})"
        summary.findings[key] = summary.findings.get(key, 0) + 1
    summary.clients = engine.clients
    summary.bytes_per_client = engine.bytes_per_client
    return findings, summary


def write_findings(path: Path, findings: list[Finding]) -> None:
    """Write findings as JSON, one a line; the file appears whole or not at all."""
    encoder = msgspec.json.Encoder(order="deterministic")
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as target:
        target.writelines(encoder.encode(finding) + b"\n" for finding in findings)
    temporary.replace(path)


def _paced(batches: Iterator[pa.RecordBatch], speed: Speed) -> Iterator[pa.RecordBatch]:
    began_s, first_us = time.monotonic(), None
    for batch in batches:
        if speed == "real" and batch.num_rows:
            last_us = int(times_us(batch.column("time"))[-1])
            first_us = first_us if first_us is not None else last_us
            time.sleep(max(0.0, (last_us - first_us) / 1e6 - (time.monotonic() - began_s)))
        yield batch
