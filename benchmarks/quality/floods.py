"""Floods of many quiet clients among real ones (ServeGen), and what the population does itself.

The real clients are given networks, agents, keys, templates and tenants of uneven popularity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.figures import Floods, Share
from benchmarks.quality.traffic import HISTORY, JUDGED, WINDOW_S, callers, traffic_batch
from detectors.batch import TRAITS
from detectors.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from detectors.finding import Finding

#: How many values of each of `TRAITS` the real clients have.
_VALUES = (20, 60, 8, 90, 40)
#: A flood begins this long after the last hour of history.
_BEGINS_S = HISTORY * WINDOW_S + 7000.0
_ENDS_S = (HISTORY + JUDGED) * WINDOW_S
_DAY_S = 86_400.0
#: Hours of the real clients among which floods are played, and how often each is.
_FROM_S, _UNTIL_S = _BEGINS_S - 36_000, _BEGINS_S + 5400
_TIMES = 3


@dataclass(frozen=True, slots=True)
class Flood:
    """Accounts that each send a request every so many seconds.

    ``shared`` are the traits that all of them have in common, ``arrive_s`` is the time over which
    they appear, and a value of a shared trait is one of real clients too if ``popular``.
    """

    name: str
    accounts: int
    every_s: float
    shared: tuple[str, ...] = ()
    arrive_s: float = 1.0
    popular: bool = False


FLOODS = (
    Flood("200 accounts of one /24", 200, 20.0, ("network",)),
    Flood("200 accounts of one new agent", 200, 20.0, ("agent",)),
    Flood("400 accounts of a popular agent", 400, 20.0, ("agent",), popular=True),
    Flood("200 accounts with one key", 200, 20.0, ("key",)),
    Flood("200 accounts with one prompt", 200, 20.0, ("template",)),
    Flood("200 accounts of one tenant", 200, 20.0, ("tenant",), popular=True),
    Flood("2,000 accounts, nothing shared", 2000, 20.0),
    Flood("200 accounts of one /24 over half an hour", 200, 20.0, ("network",), arrive_s=1800.0),
)
_LASTS_S = 600.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests by time: who sent them, and what each client shares with others."""

    names: tuple[str, ...]
    owner: NDArray[np.intp]
    when_s: NDArray[np.float64]
    traits: NDArray[np.uint64]

    def between(self, start_s: float, end_s: float) -> Stream:
        """Return the requests of some hours."""
        kept = (self.when_s >= start_s) & (self.when_s < end_s)
        return Stream(self.names, self.owner[kept], self.when_s[kept], self.traits)

    def joined(self, other: Stream) -> Stream:
        """Return both together."""
        owner = np.r_[self.owner, other.owner + len(self.names)]
        when = np.r_[self.when_s, other.when_s]
        order = np.argsort(when, kind="stable")
        traits = np.concatenate([self.traits, other.traits])
        return Stream(self.names + other.names, owner[order], when[order], traits)


def population(seed: int, most: int, *, daily: bool) -> Stream:
    """Draw real clients; by ``daily`` all of them follow the sun, from a quarter to the whole."""
    rng = np.random.default_rng(seed)
    everybody = callers(seed, most)
    owner = np.repeat(np.arange(len(everybody)), [len(c.arrivals_s) for c in everybody])
    when = np.concatenate([c.arrivals_s for c in everybody])
    if daily:
        share = 0.625 + 0.375 * np.sin(2 * np.pi * when / _DAY_S)
        kept = rng.random(len(when)) < share
        owner, when = owner[kept], when[kept]
    order = np.argsort(when, kind="stable")
    names = tuple(caller.name for caller in everybody)
    return Stream(names, owner[order], when[order], _traits(rng, len(names)))


def _traits(rng: Generator, clients: int) -> NDArray[np.uint64]:
    """Draw what each client has of each trait: a few values are common, most are rare."""
    columns = [
        rng.choice(values, clients, p=_popularity(values)) + 1000 * place + 1
        for place, values in enumerate(_VALUES)
    ]
    return _scrambled(np.stack(columns, axis=1))


def _popularity(values: int) -> NDArray[np.float64]:
    weight = 1.0 / np.arange(1, values + 1)
    popularity: NDArray[np.float64] = weight / weight.sum()
    return popularity


def _scrambled(values: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return numbers that are spread as hashes are."""
    return (values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)


def flood_of(flood: Flood, seed: int) -> Stream:
    """Draw the requests of a flood."""
    rng = np.random.default_rng(seed)
    begins = _BEGINS_S + rng.uniform(0, 600) + rng.uniform(0, flood.arrive_s, flood.accounts)
    lasts = _LASTS_S + flood.arrive_s
    counts = rng.poisson(lasts / flood.every_s, flood.accounts)
    owner = np.repeat(np.arange(flood.accounts), counts)
    when = begins[owner] + rng.uniform(0, lasts, len(owner))
    kept = when < min(_ENDS_S, begins.min() + lasts)
    columns = [
        np.full(flood.accounts, 1000 * place + (2 if flood.popular else 950))
        if trait in flood.shared
        else 1000 * place + 1 + rng.choice(values, flood.accounts, p=_popularity(values))
        for place, (trait, values) in enumerate(zip(TRAITS, _VALUES, strict=True))
    ]
    names = tuple(f"account-{index}" for index in range(flood.accounts))
    return Stream(names, owner[kept], when[kept], _scrambled(np.stack(columns, axis=1)))


def findings_of(stream: Stream, run_length: int, *detectors: str) -> list[tuple[float, Finding]]:
    """Return findings with the seconds at which they came."""
    suite = Suite(
        "traffic", None, run_length_events=run_length, max_clients=8192, lateness_us=0,
        detectors=detectors or ("traffic.pools",),
    )  # fmt: skip
    found = []
    for start in range(0, len(stream.owner), 8192):
        owner, when = stream.owner[start : start + 8192], stream.when_s[start : start + 8192]
        batch = replace(
            traffic_batch(stream.names, owner, when, start), traits=stream.traits[owner]
        )
        found += [(float(stream.when_s[int(f.trigger)]), f) for f in suite.observe(batch).findings]
    return found


def floods(seed: int, clients: int, run_length: int, tell: Callable[[str], None]) -> list[Floods]:
    """Play what the real clients do by themselves, then every flood among some of their hours."""
    results = []
    for name, daily in (("none", False), ("none, by day and night", True)):
        tell(f"floods: {name}")
        found = findings_of(population(seed, clients, daily=daily), run_length)
        hours = (HISTORY + JUDGED) * WINDOW_S / 3600
        results.append(Floods(name, len(found), hours, None, (), (), 0))
    some = [
        population(seed + run, clients, daily=False).between(_FROM_S, _UNTIL_S)
        for run in range(1, 1 + _TIMES)
    ]
    for number, flood in enumerate(FLOODS):
        tell(f"floods: {flood.name}")
        results.append(_played(flood, some, seed + 10 * number, run_length))
    return results


def _played(flood: Flood, some: list[Stream], seed: int, run_length: int) -> Floods:
    delays, named, strangers, false = [], [], 0, 0
    for run, others in enumerate(some):
        attack = flood_of(flood, seed + run)
        begins, ends = float(attack.when_s.min()), float(attack.when_s.max())
        found = findings_of(others.joined(attack), run_length)
        during = [(at, f) for at, f in found if begins <= at <= ends + 60]
        false += len(found) - len(during)
        ids = {one for _, f in during for one in f.subject.ids}
        accounts = sum(one.startswith("account-") for one in ids)
        delays += [at - begins for at, _ in during[:1]]
        named.append(accounts / flood.accounts)
        strangers += len(ids) - accounts
    hours = len(some) * (_UNTIL_S - _FROM_S) / 3600
    found_share = Share(len(delays), len(some))
    return Floods(flood.name, false, hours, found_share, tuple(delays), tuple(named), strangers)
