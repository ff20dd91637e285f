"""Calibrate as a user would, run the engine over a world, and note who was found when."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.profiles import load_profiles
from streams.calibration import CalibrationOptions, calibrate
from streams.engine import Engine, EngineOptions
from streams.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from benchmarks.quality.victims import Victim
    from benchmarks.quality.world import Client
    from detectors.finding import Finding
    from models.profiles import LoadedProfile

RUN_LENGTH_EVENTS = 60_000


@dataclass(slots=True)
class Watched:
    """What came out of a run.

    ``found`` holds, by client, the findings with the client's number of queries until then.
    """

    findings: list[Finding]
    events: int
    detect_s: float
    bytes_per_client: float
    found: dict[str, list[Finding]] = field(default_factory=dict)

    @property
    def us_per_event(self) -> float:
        """CPU time of the whole engine per event."""
        return self.detect_s / max(1, self.events) * 1e6

    def first(self, client: Client, kinds: Sequence[str] | None = None) -> int | None:
        """Return with which query a client was first found, None if it never was."""
        events = [
            f.events for f in self.found.get(client.name, []) if kinds is None or f.kind in kinds
        ]
        return min(events, default=None)


def profile_of(victim: Victim, *, members: bool, seed: int = 0) -> LoadedProfile:
    """Calibrate from the reference, through files."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = None
        if members:
            path = home / "members.npz"
            np.savez(path, x=victim.members)
        reference = Reference(
            victim.reference,
            victim.scores(victim.reference),
            np.full(len(victim.reference), -1, np.int32),
        )
        options = CalibrationOptions(seed=seed, members=path, keys=home / "keys")
        calibrate(victim.name, reference, home / "profiles", options, lambda *_: None)
        return load_profiles(home / "profiles", None, "cpu")[victim.name]


def watch(
    profile: LoadedProfile,
    batches: Iterable[pa.RecordBatch],
    max_clients: int = 8192,
    run_length_events: int = RUN_LENGTH_EVENTS,
) -> Watched:
    """Run all detectors over a recording."""
    engine = Engine(
        {profile.model: profile},
        EngineOptions(run_length_events=run_length_events, max_clients=max_clients, lateness_s=5.0),
    )
    findings: list[Finding] = []
    events, detect_s = 0, 0.0
    for batch in batches:
        started_s = time.process_time()
        findings += engine.process(batch).findings
        detect_s += time.process_time() - started_s
        events += batch.num_rows
    findings += engine.finish()
    watched = Watched(findings, events, detect_s, engine.bytes_per_client)
    for finding in findings:
        if finding.subject.type == "client":
            watched.found.setdefault(finding.subject.ids[0], []).append(finding)
    return watched
