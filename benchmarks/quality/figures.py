"""Figures of an evaluation: counts with their intervals, delays, and what was wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_Z = 1.959964
_PARTS = ("count", "of")


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its Wilson interval of 95 %."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval."""
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.value
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n)) / (1 + _Z**2 / n)
        return max(0.0, float(centre - half)), min(1.0, float(centre + half))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%}, n = {self.of:,})"


@dataclass(frozen=True, slots=True)
class Benign:
    """False alarms of a benign kind, by detector, and of the baselines."""

    kind: str
    flagged: Share
    kinds: dict[str, int]
    baselines: dict[str, Share]
    wanted: float

    @property
    def met(self) -> bool | None:
        """Whether the share is within what was wanted; None if there were too few to tell."""
        if self.flagged.value > self.wanted:
            return False
        return True if self.flagged.interval[1] <= self.wanted else None


@dataclass(frozen=True, slots=True)
class Threat:
    """How one family of attacks fared; delays in queries after the first hostile one."""

    threat: str
    family: str
    found: Share
    named: Share
    before: Share
    delays: tuple[int, ...]
    baselines: dict[str, Share]
    wanted: int

    @property
    def median(self) -> float:
        """Median delay of those found."""
        return float(np.median(self.delays)) if self.delays else float("nan")

    @property
    def p95(self) -> float:
        """95th percentile of the delays of those found."""
        return float(np.quantile(self.delays, 0.95)) if self.delays else float("nan")

    @property
    def met(self) -> bool:
        """Whether the median is as wanted, a client that is never found counting as late."""
        missed = [np.inf] * (self.found.of - self.found.count)
        return bool(np.median([*self.delays, *missed]) <= self.wanted)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """How attackers fared that hide: how many were found, and won without an alert before.

    ``queries`` are the hostile ones, over all accounts, of each that won unnoticed.
    """

    way: str
    found: Share
    unnoticed: Share
    queries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Campaigns:
    """How a campaign fared among benign clients, and what a world without one gave."""

    accounts: Share
    first_query_share: float
    strangers: int
    benign_groups: int
    benign_clients: int


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts and slow rises on real traffic: false client-hours, and delays of each kind."""

    false_hours: dict[str, Share]
    found: dict[str, Share]
    median_s: dict[str, float]
    p95_s: dict[str, float]
    baselines: dict[str, Share]


@dataclass(frozen=True, slots=True)
class Floods:
    """A flood of many quiet clients: delays, shares of its accounts that were named.

    ``false`` counts findings in the ``hours`` of all runs that are not about it.
    """

    name: str
    false: int
    hours: float
    found: Share | None
    delays_s: tuple[float, ...]
    named: tuple[float, ...]
    strangers: int


@dataclass(frozen=True, slots=True)
class Asking:
    """Clients of a language model that were found; delays in special requests."""

    kind: str
    hostile: bool
    found: Share
    delays: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that one evaluation of a model found."""

    model: str
    benign: tuple[Benign, ...]
    threats: tuple[Threat, ...]
    adaptive: tuple[Adaptive, ...]
    campaigns: Campaigns | None
    us_per_event: float
    bytes_per_client: float
    events: int

    def summary(self) -> dict[str, float]:
        """Return the figures that are held against earlier ones."""
        plain: dict[str, float] = {}
        for kind in self.benign:
            plain[f"{self.model}: false alarms, {kind.kind}"] = kind.flagged.value
        for threat in self.threats:
            plain[f"{self.model}: found, {threat.family}"] = threat.found.value
        evasion = [threat for threat in self.threats if threat.threat == "evasion"]
        found = sum(threat.found.count for threat in evasion)
        plain[f"{self.model}: found, evasion"] = found / sum(t.found.of for t in evasion)
        delays = [delay for threat in evasion for delay in threat.delays]
        plain[f"{self.model}: queries, evasion"] = float(np.median(delays))
        won, of = (sum(getattr(way.unnoticed, part) for way in self.adaptive) for part in _PARTS)
        plain[f"{self.model}: success without alert, adaptive"] = won / max(1, of)
        return plain


def delays_of(firsts: Sequence[int | None], after: Sequence[int]) -> tuple[int, ...]:
    """Return delays of those that were found, at least one."""
    pairs = zip(firsts, after, strict=True)
    return tuple(max(1, first - start) for first, start in pairs if first is not None)


def as_dict(item: Any) -> dict[str, Any]:
    """Return a figure as plain data."""
    return asdict(item)
