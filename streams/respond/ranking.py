"""Which alerts deserve attention first, by what analysts made of others like them.

The order of alerts changes, and the severity of what analysts keep calling false falls by one.
No alert is kept back by it, and verdicts do not ask it. Who attacks cannot teach it that an attack
is harmless by way of his own account: what is said of a client is learned at most three times, and
that it was wrong to accuse it not at all while something else is open against it.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from detectors.finding import Severity
from detectors.reranker import Opinion, Reranker, Vote
from streams.metrics.catalogue import ALERTS_LOWERED, FEEDBACK_LEARNED
from streams.respond.explain import explain
from streams.respond.severity import BY_RANK, RANK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.finding import Finding
    from streams.respond.incident import Incident, Reason

#: Alerts that were told and may still be judged.
MAX_CASES = 2000
#: Most points of risk that an opinion adds or takes away.
MAX_POINTS = 20
#: Names of detectors, channels and models share so many weights.
_BUCKETS = 1024
#: Severities that fall: what is critical is told as that, whatever was said of its like.
_FALLING: tuple[Severity, ...] = ("medium", "high")
_WORSE: tuple[Reason, ...] = ("severity_rose", "evidence_grew")


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How an alert compares with those that analysts have judged.

    ``real`` is the probability that they would call it real, 0.5 where nobody has judged any;
    of the ``votes`` most like it ``false`` were called false. ``lowered_from`` is the severity
    that it has without them, None if that is the one it is told with.
    """

    real: float = 0.5
    votes: int = 0
    false: int = 0
    lowered_from: Severity | None = None

    def of(self, severity: Severity) -> Severity:
        """Return with which severity to tell what has this one."""
        return severity if self.lowered_from is None else BY_RANK[max(0, RANK[severity] - 1)]

    @property
    def points(self) -> int:
        """Points of risk that it adds or takes away."""
        return round(2 * MAX_POINTS * (self.real - 0.5))


class Case(msgspec.Struct, frozen=True, array_like=True):
    """An alert as it was told, until somebody judges it."""

    incident: str
    group: str
    subject: str
    strength: float
    features: dict[str, float]


class Ranker:
    """Ranks incidents, and learns from what people say of them.

    Parameters
    ----------
    lowers
        Severities may fall; else only the risk changes.
    """

    def __init__(self, *, lowers: bool = True) -> None:
        self._lowers = lowers
        self.restore((), ())

    def restore(self, votes: Iterable[Vote], cases: Iterable[Case]) -> None:
        """Take over what a snapshot holds."""
        self.model = Reranker(votes)
        self._cases = OrderedDict((case.incident, case) for case in cases)

    @property
    def cases(self) -> tuple[Case, ...]:
        """What was told and may still be judged."""
        return tuple(self._cases.values())

    def rank(self, incident: Incident, reason: Reason) -> Ranking:
        """Rank an incident that is told for ``reason``.

        Its severity falls with the first alert or never, and rises again with what is worse.
        """
        case = _case(incident)
        self._cases[incident.id] = case
        self._cases.move_to_end(incident.id)
        if len(self._cases) > MAX_CASES:
            self._cases.popitem(last=False)
        opinion = self.model.rank(case.features, group=case.group, strength=case.strength)
        falls = reason == "opened" and self._lowers and _may_fall(incident, opinion)
        if falls:
            ALERTS_LOWERED.inc()
        stays = incident.ranking.lowered_from is not None and reason not in _WORSE
        return Ranking(
            real=round(opinion.real, 3),
            votes=opinion.votes,
            false=opinion.false,
            lowered_from=incident.severity if falls or stays else None,
        )

    def judged(self, incident: str, *, real: bool, still_open: Iterable[Incident]) -> None:
        """Learn what somebody said of an incident; each is learned once."""
        case = self._cases.pop(incident, None)
        if case is None:
            return
        suspected = any(
            case.subject in other.clients and other.id != incident and not other.shadow
            for other in still_open
        )
        vote = Vote(case.group, case.subject, case.strength, real, case.features)
        learned = (real or not suspected) and self.model.learn(vote)
        said = "real" if real else "false"
        FEEDBACK_LEARNED.labels(said if learned else "ignored").inc()


def _may_fall(incident: Incident, opinion: Opinion) -> bool:
    alone = incident.key.scope == "client" and incident.severity in _FALLING
    return alone and opinion.is_false


def _case(incident: Incident) -> Case:
    key, clients = incident.key, tuple(incident.clients)
    return Case(
        incident=incident.id,
        group=f"{key.rule}\0{key.model}",
        subject=clients[0] if key.scope == "client" and clients else "\0".join(key),
        strength=_strength(incident.strongest),
        features=features_of(incident),
    )


def features_of(incident: Incident) -> dict[str, float]:
    """Return what the model sees of an incident: numbers from 0 to 1, in a fixed order.

    The client is none of them: nobody is believed, or not, for who he is.
    """
    finding = incident.strongest
    explained = explain(finding)
    lasted_s = (incident.last_us - incident.opened_us) / 1e6
    features = {
        "strength": _share(math.log2(1 + _strength(finding)), 6),
        "events": _share(math.log10(1 + max(0, finding.events)), 6),
        "seconds": _share(math.log10(1 + max(0.0, lasted_s)), 6),
        "findings": _share(math.log2(max(1, incident.findings)), 10),
        "earlier": _share(math.log2(1 + incident.earlier), 5),
        "clients": _share(math.log10(max(1, incident.client_count)), 5),
        "severity": RANK[incident.severity] / (len(RANK) - 1),
    }
    for name in (
        f"model {incident.key.model}",
        f"detector {finding.detector} {finding.kind}",
        f"channel {finding.detector} {explained.channel}",
        f"scope {incident.key.scope}",
    ):
        features[_bucket(name)] = 1.0
    for feature in explained.features:
        if feature.share is not None:
            features[_bucket(f"share {finding.detector} {feature.name}")] = feature.share
    return features


def _strength(finding: Finding) -> float:
    """Return the evidence in multiples of what it takes to alarm."""
    strength = finding.log_e / math.log(max(3, finding.run_length))
    return min(1e6, max(0.0, strength)) if math.isfinite(strength) else 1e6


def _share(value: float, most: float) -> float:
    return round(min(1.0, max(0.0, value / most)), 4)


def _bucket(name: str) -> str:
    digest = hashlib.blake2b(name.encode(), digest_size=4, person=b"vedette-rank").digest()
    return f"#{int.from_bytes(digest) % _BUCKETS}"
