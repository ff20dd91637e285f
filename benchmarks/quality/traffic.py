"""Bursts on top of the traffic of real clients (ServeGen), each against its own past.

References
----------
Xiang et al. ServeGen: workload characterization and generation of large language model serving
in production. 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.victims import DATA
from detectors.batch import Batch
from detectors.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from detectors.profile import Profile

WINDOW_S = 600
#: Windows of the past, and those that are judged.
HISTORY, JUDGED = 144, 36
BURST_S = 60.0
#: Windows with more requests than this are left out: they only cost time.
_MAX_REQUESTS = 1200
#: Stretches of one client, at most.
_STRETCHES = 4
_FILES = ("servegen_m-large.npz", "servegen_m-small.npz")
_START_US = 1_790_000_400_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Arrival times in seconds of one client: a past, judged hours, and maybe a burst."""

    name: str
    arrivals_s: NDArray[np.float64]
    burst_s: float | None = None


def available() -> bool:
    """Tell whether the traffic is there."""
    return all((DATA / "traffic" / name).exists() for name in _FILES)


def callers(seed: int, most: int, factor: float | None = None) -> list[Caller]:
    """Draw stretches of real clients; ``factor`` times the own ten-second peak as a burst."""
    rng = np.random.default_rng(seed)
    length = HISTORY + JUDGED
    found = []
    for file in _FILES:
        rows = dict(np.load(DATA / "traffic" / file, allow_pickle=False))
        for client in np.unique(rows["client"]).tolist():
            mine = {name: column[rows["client"] == client] for name, column in rows.items()}
            quiet = mine["rate_per_s"] * WINDOW_S <= _MAX_REQUESTS
            mine = {name: column[quiet] for name, column in mine.items()}
            # Stretches of one client that share no window.
            stretches = len(mine["client"]) // length
            for at in rng.permutation(stretches)[:_STRETCHES].tolist():
                part = {n: column[at * length : (at + 1) * length] for n, column in mine.items()}
                found.append((f"{file[9:16]}-{client}-{at}", part))
    chosen = rng.permutation(len(found))[:most]
    return [_caller(found[index][0], found[index][1], rng, factor) for index in chosen.tolist()]


def _caller(
    name: str, rows: dict[str, NDArray[np.floating]], rng: Generator, factor: float | None
) -> Caller:
    """Play consecutive active windows one after the other."""
    parts = [number * WINDOW_S + _gaps(rows, number, rng) for number in range(HISTORY + JUDGED)]
    arrivals = np.concatenate(parts)
    if factor is None:
        return Caller(name, arrivals)
    past = arrivals[arrivals < HISTORY * WINDOW_S]
    peak = np.bincount((past // 10).astype(int)).max(initial=1)
    begins = float(rng.uniform(HISTORY + 1, HISTORY + JUDGED - 2)) * WINDOW_S
    burst = begins + np.sort(rng.uniform(0, BURST_S, rng.poisson(factor * peak * BURST_S / 10)))
    return Caller(name, np.sort(np.concatenate([arrivals, burst])), begins)


def _gaps(rows: dict[str, NDArray[np.floating]], index: int, rng: Generator) -> NDArray[np.float64]:
    """Draw arrivals within one window from its distribution of gaps."""
    shape, scale = float(rows["shape"][index]), float(rows["scale"][index])
    count = int(rows["rate_per_s"][index] * WINDOW_S * 1.5) + 20
    gaps = (
        scale * rng.weibull(shape, count)
        if rows["weibull"][index]
        else rng.gamma(shape, scale, count)
    )
    arrivals = np.cumsum(gaps) - rng.uniform(0, gaps[0] + 1e-9)
    kept: NDArray[np.float64] = arrivals[(arrivals >= 0) & (arrivals < WINDOW_S)]
    return kept


@dataclass(frozen=True, slots=True)
class BurstOutcome:
    """False alarms in hours without a burst, and delays of those that were found."""

    client_hours: float
    false_hours: int
    bursts: int
    delays_s: tuple[float, ...]


def judge(everybody: Sequence[Caller], profile: Profile | None, run_length: int) -> BurstOutcome:
    """Run the burst detector over the callers."""
    alarms = alarms_of(everybody, profile, run_length)
    false_hours, delays, hours = 0, [], 0.0
    for caller in everybody:
        times = [t for t in alarms.get(caller.name, []) if t >= HISTORY * WINDOW_S]
        if caller.burst_s is not None:
            end = caller.burst_s + BURST_S
            delays += [t - caller.burst_s for t in times if caller.burst_s <= t <= end][:1]
            continue
        hours += JUDGED * WINDOW_S / 3600
        false_hours += len({int(t // 3600) for t in times})
    bursts = sum(caller.burst_s is not None for caller in everybody)
    return BurstOutcome(hours, false_hours, bursts, tuple(delays))


def alarms_of(
    everybody: Sequence[Caller], profile: Profile | None, run_length: int
) -> dict[str, list[float]]:
    """Return the times, in seconds, of the first findings of each client."""
    suite = Suite(
        "traffic", profile, run_length_events=run_length, max_clients=2048, lateness_us=0,
        detectors=("traffic.burst",),
    )  # fmt: skip
    owner = np.repeat(np.arange(len(everybody)), [len(c.arrivals_s) for c in everybody])
    when = np.concatenate([c.arrivals_s for c in everybody])
    order = np.argsort(when, kind="stable")
    names = tuple(caller.name for caller in everybody)
    found: dict[str, list[float]] = {}
    for start in range(0, len(order), 8192):
        rows = order[start : start + 8192]
        batch = traffic_batch(names, owner[rows], when[rows], start)
        for finding, at in ((f, int(f.trigger)) for f in suite.observe(batch).findings):
            if finding.evidence["escalation"] == 1:
                found.setdefault(finding.subject.ids[0], []).append(float(when[order[at]]))
    return found


def traffic_batch(
    names: tuple[str, ...], owner: NDArray[np.intp], when_s: NDArray[np.float64], first: int
) -> Batch:
    """Return requests without contents."""
    rows = len(owner)
    unknown = np.full(rows, -1, np.int32)
    time_us = _START_US + (when_s * 1e6).astype(np.int64)
    return Batch(
        model="traffic",
        first_row=first,
        clients=names,
        time_us=time_us,
        watermark_us=time_us,
        client=owner.astype(np.int32),
        label=unknown,
        confidence=unknown,
        margin=unknown,
        entropy=unknown,
        log_odds=unknown,
        status=np.full(rows, 200, np.int16),
        input_tokens=unknown,
        output_tokens=unknown,
        payload_hash=np.zeros(rows, np.uint64),
        scanned=np.zeros(rows, np.bool_),
        sketch=np.zeros((rows, 0), np.uint8),
        embedding=np.zeros((rows, 0), np.int8),
        grain=np.zeros(rows, np.int32),
        view=np.zeros((rows, 0), np.uint8),
        interaction_id=lambda row: str(first + row),
    )
