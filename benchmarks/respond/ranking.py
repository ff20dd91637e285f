"""``python -m benchmarks.respond.ranking``: whether what analysts say puts real alerts first.

Findings of attackers and of benign clients, these plentiful because the wanted run length is far
too short, become alerts one after another. After each an analyst, who errs once in twenty, says
what it was. Alerts are compared by the chance that a real one has a higher risk than a false one
(AUC), the first quarter left out, with what was learned and without.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.quality.benign import BENIGN, Pool
from benchmarks.quality.run import Size, attackers
from benchmarks.quality.victims import digits_victim
from benchmarks.quality.watch import profile_of, watch
from benchmarks.quality.world import Client, recording
from config.respond import RespondSettings
from models.device import one_thread
from streams.respond.incidents import Incidents
from streams.respond.risk import risk_score
from streams.respond.times import iso
from streams.rules.load import load_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.finding import Finding

RUN_LENGTH_EVENTS = 200
_SIZE = Size(150, 150, 4, 120, 150, 0, 0)
_ERRS = 0.05
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    """An alert: what it is, its risk with and without what was learned, whether it fell."""

    real: bool
    risk: int
    plain: int
    fell: bool


def findings_of(seed: int) -> list[tuple[bool, Finding]]:
    """Return the first finding of each kind of each client, with whether it attacks."""
    victim = digits_victim(seed)
    pool, clients = Pool(victim), list(attackers(victim, _SIZE, seed))
    for number, (kind, make) in enumerate(BENIGN.items()):
        for index in range(_SIZE.independent):
            rng = np.random.default_rng([seed, 1, number, index])
            clients.append(Client(f"benign-{kind}-{index}", kind, make(pool, rng, _SIZE.queries)))
    profile = profile_of(victim, members=False, seed=seed)
    batches = recording(victim, clients, seed=seed)
    watched = watch(profile, batches, run_length_events=RUN_LENGTH_EVENTS)
    firsts = []
    for client in clients:
        by_kind: dict[str, Finding] = {}
        for finding in watched.found.get(client.name, []):
            by_kind.setdefault(finding.kind, finding)
        firsts += [(bool(client.threat), finding) for finding in by_kind.values()]
    return firsts


def tell(found: Sequence[tuple[bool, Finding]], seed: int) -> list[Told]:
    """Tell findings in a random order, an hour apart and each of another client."""
    rng = np.random.default_rng(seed)
    incidents, rules, told = Incidents(RespondSettings()), load_rules(), []
    for hour, place in enumerate(rng.permutation(len(found)).tolist()):
        real, finding = found[place]
        when = iso(_BEGAN + timedelta(hours=hour))
        subject = msgspec.structs.replace(finding.subject, ids=(f"client-{place}",))
        moved = msgspec.structs.replace(finding, time=when, since=when, subject=subject)
        alert = next(a for a in incidents.take(moved, rules) if a.state != "resolved")
        incident = next(i for i in incidents.open.values() if i.id == alert.incident)
        fell = alert.ranking.lowered_from is not None
        incident.ranking = type(incident.ranking)()
        told.append(Told(real, alert.risk_score, risk_score(incident), fell))
        said = real ^ bool(rng.random() < _ERRS)
        incidents.ranker.judged(alert.incident, real=said, still_open=incidents.open.values())
    return told


def auc(real: Sequence[int], false: Sequence[int]) -> float:
    """Return how often a real alert has more than a false one; ties count half."""
    one, other = np.array(real)[:, None], np.array(false)
    return float((one > other).mean() + (one == other).mean() / 2)


def main() -> None:
    """Run it with three orders and print what came of it."""
    console = Console()
    with one_thread():
        found = findings_of(0)
    for seed in range(3):
        told = tell(found, seed)
        late = told[len(told) // 4 :]
        real, wrong = [a for a in late if a.real], [a for a in late if not a.real]
        ranked = auc([a.risk for a in real], [a.risk for a in wrong])
        plain = auc([a.plain for a in real], [a.plain for a in wrong])
        false = sum(not a.real for a in told)
        fell = sum(a.fell and not a.real for a in told), sum(a.fell and a.real for a in told)
        console.print(
            f"{len(told)} alerts, {false} false: AUC {plain:.2f} without what was learned, "
            f"{ranked:.2f} with it; told lower: {fell[0]} false, {fell[1]} real"
        )


if __name__ == "__main__":
    main()
