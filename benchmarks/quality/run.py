"""One evaluation: a world of clients, a calibration, a replay, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.baselines.queries import blacklight, prada, stateful_knn
from benchmarks.baselines.rates import fixed_rule, poisson_focus
from benchmarks.quality.adaptive import adaptive
from benchmarks.quality.benign import BENIGN, CORRELATED, PLENTIFUL, Pool, independent
from benchmarks.quality.evasion import EVASION, attack
from benchmarks.quality.figures import (
    Adaptive,
    Benign,
    Bursts,
    Campaigns,
    Result,
    Share,
    Threat,
    delays_of,
)
from benchmarks.quality.others import OTHERS, record
from benchmarks.quality.thieves import DRIFT, EXTRACTION, MEMBERSHIP, SEEDS, colluding
from benchmarks.quality.traffic import (
    HISTORY,
    JUDGED,
    WINDOW_S,
    Judge,
    burst,
    by_day,
    callers,
    ramp,
)
from benchmarks.quality.watch import RUN_LENGTH_EVENTS, Watched, profile_of, watch
from benchmarks.quality.world import Client, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.baselines.queries import Baseline
    from benchmarks.quality.victims import Victim
    from models.profiles import LoadedProfile

#: Queries to the alarm that are wanted, by family, from the targets of the project.
WANTED = {
    "noise": 8,
    "generator": 8,
    "foreign images": 8,
    "similar domain": 40,
    "half foreign": 20,
    "JBDA": 5,
    "evasion": 7,
    "membership": 30,
    "drift": 60,
}
_ACCOUNTS, _ACCOUNT_QUERIES = 50, 40
_AT_ONCE = 900


@dataclass(frozen=True, slots=True)
class Size:
    """How much is played: clients of independent and correlated kinds, attackers a family."""

    independent: int
    correlated: int
    attackers: int
    queries: int
    max_queries: int
    campaign_clients: int
    baseline_clients: int
    #: Clients of the kinds of which at most one in a thousand may be flagged.
    plenty: int = 0
    #: Attackers of each adaptive kind.
    adaptive: int = 0


FULL = Size(400, 300, 24, 120, 400, 1000, 8, 4000, 36)
QUICK = Size(60, 40, 6, 80, 200, 0, 0, 0, 6)


def evaluate(victim: Victim, size: Size, seed: int, tell: Callable[[str], None]) -> Result:
    """Evaluate every threat and benign kind on one model."""
    tell(f"{victim.name}: calibrating")
    profile = profile_of(victim, members=True, seed=seed)
    tell(f"{victim.name}: recording attacks")
    clients = [*benign_clients(victim, size, seed), *attackers(victim, size, seed)]
    tell(f"{victim.name}: watching {len(clients):,} clients")
    watched = watch(profile, recording(victim, clients, seed=seed))
    tell(f"{victim.name}: watching more benign clients")
    clients += more_benign(victim, profile, watched, size, seed)
    tell(f"{victim.name}: baselines")
    baselines = _baselines(victim) if size.baseline_clients else {}
    grouped: dict[tuple[str, str], list[Client]] = {}
    for client in clients:
        grouped.setdefault((client.threat, client.kind), []).append(client)
    benign = [
        _benign(kind, group, watched, baselines, size)
        for (threat, kind), group in grouped.items()
        if not threat
    ]
    threats = [
        _threat(threat, kind, group, watched, baselines, size)
        for (threat, kind), group in grouped.items()
        if threat
    ]
    hiding: tuple[Adaptive, ...] = ()
    if size.adaptive:
        tell(f"{victim.name}: adaptive attackers")
        hiding = adaptive_attackers(victim, profile, size, seed)
    campaigns = None
    if size.campaign_clients:
        tell(f"{victim.name}: campaigns among {size.campaign_clients:,} clients")
        campaigns = campaign(victim, profile, size, seed)
    return Result(
        victim.name,
        tuple(benign),
        tuple(threats),
        hiding,
        campaigns,
        watched.us_per_event,
        watched.bytes_per_client,
        watched.events,
    )


def benign_clients(victim: Victim, size: Size, seed: int) -> Iterator[Client]:
    """Yield benign clients of every kind."""
    pool = Pool(victim)
    for number, (kind, make) in enumerate(BENIGN.items()):
        count = size.correlated if kind in CORRELATED else size.independent
        for index in range(count):
            rng = np.random.default_rng([seed, 1, number, index])
            yield Client(f"benign-{kind}-{index}", kind, make(pool, rng, size.queries))


def more_benign(
    victim: Victim, profile: LoadedProfile, watched: Watched, size: Size, seed: int
) -> list[Client]:
    """Watch as many more clients as it takes to tell rare false alarms, without their queries.

    What is found of them is added to ``watched``.
    """
    pool, more = Pool(victim), []
    for number, kind in enumerate(PLENTIFUL):
        for start in range(size.independent, size.plenty, _AT_ONCE):
            clients = []
            for index in range(start, min(size.plenty, start + _AT_ONCE)):
                x = BENIGN[kind](
                    pool, np.random.default_rng([seed, 5, number, index]), size.queries
                )
                clients.append(Client(f"more-{kind}-{index}", kind, x))
            found = watch(profile, recording(victim, clients, seed=seed + start))
            watched.found.update(found.found)
            watched.events += found.events
            more += [replace(client, x=client.x[:0]) for client in clients]
    return more


def attackers(victim: Victim, size: Size, seed: int) -> Iterator[Client]:
    """Yield attackers of every family, with their recorded queries."""
    for family in EVASION:
        for index in range(size.attackers):
            x, at = attack(victim, family, 1000 * seed + index, size.max_queries)
            yield Client(f"attacker-{family}-{index}", family, x, "evasion", at)
    for family in OTHERS:
        for index in range(size.attackers):
            x, at = record(victim, family, 1000 * seed + index, size.max_queries)
            yield Client(f"attacker-{family}-{index}", family, x, "evasion", at)
    for threat, families in (
        ("extraction", EXTRACTION),
        ("membership", MEMBERSHIP),
        ("drift", DRIFT),
    ):
        for number, (family, make) in enumerate(families.items()):
            for index in range(size.attackers):
                rng = np.random.default_rng([seed, 2, len(threat), number, index])
                jacobian = family == "JBDA"
                x = make(victim, rng, SEEDS + 100 if jacobian else 120)
                name = f"attacker-{family}-{index}"
                yield Client(name, family, x, threat, None, SEEDS if jacobian else 0)


def _baselines(victim: Victim) -> dict[str, Baseline]:
    return {
        "Blacklight": blacklight,
        "PRADA": prada(victim),
        "stateful kNN": stateful_knn(victim),
    }


def _shares(
    group: list[Client], baselines: dict[str, Baseline], size: Size, longest: int
) -> dict[str, Share]:
    """Return which share of some clients each baseline finds."""
    chosen = group[: size.baseline_clients]
    return {
        name: Share(sum(find(c.x[:longest]) is not None for c in chosen), len(chosen))
        for name, find in baselines.items()
    }


def _benign(
    kind: str, group: list[Client], watched: Watched, baselines: dict[str, Baseline], size: Size
) -> Benign:
    kinds: dict[str, int] = {}
    for client in group:
        for name in {f.kind for f in watched.found.get(client.name, [])}:
            kinds[name] = kinds.get(name, 0) + 1
    flagged = Share(sum(client.name in watched.found for client in group), len(group))
    wanted = 0.02 if kind in CORRELATED else 0.001
    return Benign(kind, flagged, kinds, _shares(group, baselines, size, size.queries), wanted)


def _threat(
    threat: str,
    family: str,
    group: list[Client],
    watched: Watched,
    baselines: dict[str, Baseline],
    size: Size,
) -> Threat:
    firsts = [watched.first(client) for client in group]
    named = sum(watched.first(client, (threat,)) is not None for client in group)
    won = [(c, first) for c, first in zip(group, firsts, strict=True) if c.success_at]
    before = sum(first is not None and first <= (c.success_at or 0) for c, first in won)
    return Threat(
        threat,
        family,
        Share(sum(first is not None for first in firsts), len(group)),
        Share(named, len(group)),
        Share(before, len(won)),
        delays_of(firsts, [client.hostile_from for client in group]),
        _shares(group, baselines, size, 250),
        WANTED.get(family, WANTED.get(threat, 60)),
    )


def adaptive_attackers(
    victim: Victim, profile: LoadedProfile, size: Size, seed: int
) -> tuple[Adaptive, ...]:
    """Watch attackers that hide, and count who won before any of its accounts was found."""
    groups = list(adaptive(victim, size.adaptive, seed, size.max_queries))
    clients = [client for group in groups for client in group]
    watched = watch(profile, recording(victim, clients, seed=seed))
    outcome: dict[str, list[tuple[bool, int | None]]] = {}
    for group in groups:
        firsts = [watched.first(client) for client in group]
        found = any(first is not None for first in firsts)
        before = any(
            first is not None and client.success_at is not None and first <= client.success_at
            for client, first in zip(group, firsts, strict=True)
        )
        won = group[0].success_at is not None and not before
        asked = sum(len(client.x) - client.between for client in group)
        outcome.setdefault(group[0].kind, []).append((found, asked if won else None))
    return tuple(
        Adaptive(
            way,
            Share(sum(found for found, _ in pairs), len(pairs)),
            Share(sum(asked is not None for _, asked in pairs), len(pairs)),
            tuple(sorted(asked for _, asked in pairs if asked is not None)),
        )
        for way, pairs in outcome.items()
    )


def campaign(victim: Victim, profile: LoadedProfile, size: Size, seed: int) -> Campaigns:
    """Hide fifty accounts among benign clients, and look at the benign ones alone too."""
    pool = Pool(victim)
    benign = [
        Client(
            f"benign-{index}",
            "independent",
            independent(pool, np.random.default_rng([seed, 3, index]), _ACCOUNT_QUERIES),
        )
        for index in range(size.campaign_clients)
    ]
    accounts = [
        Client(
            f"account-{index}",
            "account",
            colluding(victim, np.random.default_rng([seed, 4, index]), _ACCOUNT_QUERIES),
            "collusion",
        )
        for index in range(_ACCOUNTS)
    ]
    alone = watch(profile, recording(victim, benign, seed=seed))
    groups = [f for f in alone.findings if f.subject.type == "campaign"]
    together = watch(profile, recording(victim, [*benign, *accounts], seed=seed))
    found = [f for f in together.findings if f.subject.type == "campaign"]
    named = {name for finding in found for name in finding.subject.ids}
    attackers = {name for name in named if name.startswith("account")}
    first = found[0].events / (_ACCOUNTS * _ACCOUNT_QUERIES) if found else float("nan")
    return Campaigns(
        Share(len(attackers), _ACCOUNTS),
        first,
        len(named) - len(attackers),
        len(groups),
        size.campaign_clients,
    )


def bursts(seed: int, tell: Callable[[str], None]) -> Bursts:
    """Evaluate bursts and slow rises on the traffic of real clients."""
    rng = np.random.default_rng(seed)
    quiet = callers(seed, judged=True)
    tell("traffic: the past of real clients")
    judge = Judge(quiet, None, RUN_LENGTH_EVENTS)
    tell("traffic: benign hours")
    false = {"as they came": Share(judge.false_hours(), judge.hours)}
    attacks = {f"{f:g}x": [burst(c, f, rng) for c in quiet] for f in (2.0, 3.0, 10.0)}
    for hours in (1, 2):
        attacks[f"10x its mean, within {hours} h"] = [ramp(c, 10, 3600 * hours, rng) for c in quiet]
    found, median, p95 = {}, {}, {}
    for name, played in attacks.items():
        tell(f"traffic: {name}")
        delays = judge.delays_s(played)
        found[name] = Share(len(delays), len(played))
        median[name], p95[name] = (float(np.quantile(delays, q)) for q in (0.5, 0.95))
    tell("traffic: by day and night")
    daily = Judge([by_day(c, rng) for c in quiet], None, RUN_LENGTH_EVENTS)
    false["by day and night"] = Share(daily.false_hours(), daily.hours)
    tell("traffic: baselines")
    past_s = HISTORY * WINDOW_S
    rules = {"5x in 10 s": fixed_rule, "Poisson-FOCuS, 5 sigma": poisson_focus}
    baselines = {
        name: Share(
            sum(len({int(t // 3600) for t in rule(c.arrivals_s, past_s)}) for c in quiet[:40]),
            round(len(quiet[:40]) * JUDGED * WINDOW_S / 3600),
        )
        for name, rule in rules.items()
    }
    return Bursts(false, found, median, p95, baselines)
