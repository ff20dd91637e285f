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
HISTORY, JUDGED = 144, 42
BURST_S = 60.0
#: How long a slow rise stays at its end.
_STAYS_S = 600.0
#: Windows with more requests than this are left out: they only cost time.
_MAX_REQUESTS = 1200
#: Clients with so many windows are split into two halves.
_ENOUGH = 180
_FILES = ("servegen_m-large.npz", "servegen_m-small.npz")
_START_US = 1_790_000_400_000_000
_PAST_S, _ENDS_S = HISTORY * WINDOW_S, (HISTORY + JUDGED) * WINDOW_S


@dataclass(frozen=True, slots=True)
class Caller:
    """Arrival times in seconds of one client, a past and judged hours."""

    name: str
    arrivals_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attack:
    """What a client sends beside its usual requests, from when until when it may be found."""

    arrivals_s: NDArray[np.float64]
    begins_s: float
    ends_s: float


def available() -> bool:
    """Tell whether the traffic is there."""
    return all((DATA / "traffic" / name).exists() for name in _FILES)


def callers(seed: int, most: int | None = None, *, judged: bool = False) -> list[Caller]:
    """Draw stretches of real clients that share no window, all if ``most`` is not given.

    By ``judged`` only those of every other client: the others set how far above a client's peaks
    its levels lie.
    """
    rng = np.random.default_rng(seed)
    found = []
    for name, rows in _clients()[1 if judged else 0 :: 2 if judged else 1]:
        for at in range(0, len(rows["client"]) + 1 - HISTORY - JUDGED, HISTORY + JUDGED):
            part = {n: column[at : at + HISTORY + JUDGED] for n, column in rows.items()}
            found.append((f"{name}-{at}", part))
    chosen = rng.permutation(len(found))[:most]
    return [_caller(found[index][0], found[index][1], rng) for index in chosen.tolist()]


def burst(caller: Caller, factor: float, rng: Generator) -> Attack:
    """Return a minute of a multiple of the client's own ten-second peak."""
    past = caller.arrivals_s[caller.arrivals_s < _PAST_S]
    peak = np.bincount((past // 10).astype(int)).max(initial=1)
    begins_s = float(rng.uniform(HISTORY + 1, HISTORY + JUDGED - 2)) * WINDOW_S
    arrivals = begins_s + rng.uniform(0, BURST_S, rng.poisson(factor * peak * BURST_S / 10))
    return Attack(arrivals, begins_s, begins_s + BURST_S)


def ramp(caller: Caller, factor: float, rises_s: float, rng: Generator) -> Attack:
    """Return a rise to a multiple of the client's own mean, by the same share each minute."""
    mean_hz = (caller.arrivals_s < _PAST_S).sum() / _PAST_S
    lasts_s = rises_s + _STAYS_S
    begins_s = float(rng.uniform(_PAST_S + WINDOW_S, _ENDS_S - lasts_s))
    most = rng.poisson(mean_hz * (factor - 1) * lasts_s)
    at = rng.uniform(0, lasts_s, most)
    reached = factor ** np.minimum(at / rises_s, 1.0)
    kept = at[rng.random(most) * (factor - 1) < reached - 1]
    return Attack(begins_s + kept, begins_s, begins_s + lasts_s)


def by_day(caller: Caller, rng: Generator) -> Caller:
    """Let a client follow the sun, from a quarter to the whole of its requests."""
    share = 0.625 + 0.375 * np.sin(2 * np.pi * caller.arrivals_s / 86_400)
    return Caller(caller.name, caller.arrivals_s[rng.random(len(share)) < share])


def _clients() -> list[tuple[str, dict[str, NDArray[np.floating]]]]:
    """Return the quiet windows of the clients that have enough of them."""
    clients = []
    for file in _FILES:
        rows = dict(np.load(DATA / "traffic" / file, allow_pickle=False))
        quiet = rows["rate_per_s"] * WINDOW_S <= _MAX_REQUESTS
        for client in np.unique(rows["client"]).tolist():
            kept = (rows["client"] == client) & quiet
            if kept.sum() >= _ENOUGH:
                mine = {name: column[kept] for name, column in rows.items()}
                clients.append((f"{file[9:16]}-{client}", mine))
    return clients


def _caller(name: str, rows: dict[str, NDArray[np.floating]], rng: Generator) -> Caller:
    """Play consecutive active windows one after the other."""
    parts = [number * WINDOW_S + _gaps(rows, number, rng) for number in range(HISTORY + JUDGED)]
    return Caller(name, np.concatenate(parts))


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


class Judge:
    """The burst detector after the past of some callers, from which all that follows goes on."""

    def __init__(
        self, everybody: Sequence[Caller], profile: Profile | None, run_length: int
    ) -> None:
        self._everybody = everybody
        self._suite = Suite(
            "traffic", profile, run_length_events=run_length, max_clients=2048, lateness_us=0,
            detectors=("traffic.burst",),
        )  # fmt: skip
        self._observed([c.arrivals_s[c.arrivals_s < _PAST_S] for c in everybody])
        self._past = self._suite.snapshot()

    @property
    def hours(self) -> int:
        """Judged hours of all callers together."""
        return len(self._everybody) * JUDGED * WINDOW_S // 3600

    def false_hours(self) -> int:
        """Return in how many client-hours there is a finding, without an attack."""
        alarms = self._alarms([np.zeros(0)] * len(self._everybody))
        return sum(len({int((t - _PAST_S) // 3600) for t in times}) for times in alarms)

    def delays_s(self, attacks: Sequence[Attack]) -> list[float]:
        """Return how long after its begin each attack that is found was found."""
        alarms = self._alarms([attack.arrivals_s for attack in attacks])
        found = [
            [t - attack.begins_s for t in times if attack.begins_s <= t <= attack.ends_s][:1]
            for attack, times in zip(attacks, alarms, strict=True)
        ]
        return [delay for delays in found for delay in delays]

    def _alarms(self, more: Sequence[NDArray[np.float64]]) -> list[list[float]]:
        """Return when each caller is found in the judged hours, with what else it sends."""
        self._suite.restore(self._past)
        return self._observed(
            [
                np.sort(np.concatenate([c.arrivals_s[c.arrivals_s >= _PAST_S], extra]))
                for c, extra in zip(self._everybody, more, strict=True)
            ]
        )

    def _observed(self, arrivals_s: Sequence[NDArray[np.float64]]) -> list[list[float]]:
        """Return the times of first findings of each caller."""
        owner = np.repeat(np.arange(len(arrivals_s)), [len(times) for times in arrivals_s])
        when = np.concatenate(arrivals_s)
        order = np.argsort(when, kind="stable")
        names = tuple(caller.name for caller in self._everybody)
        place = {name: number for number, name in enumerate(names)}
        found: list[list[float]] = [[] for _ in names]
        for start in range(0, len(order), 8192):
            rows = order[start : start + 8192]
            batch = traffic_batch(names, owner[rows], when[rows], start)
            for finding in self._suite.observe(batch).findings:
                if finding.evidence["escalation"] == 1:
                    at = float(when[order[int(finding.trigger)]])
                    found[place[finding.subject.ids[0]]].append(at)
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
