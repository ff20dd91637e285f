"""What analysts would make of an alert, learned online from what they made of others like it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from river.linear_model import LogisticRegression
from river.optim import SGD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Judged alerts that are remembered, and most of one subject among them.
MAX_VOTES, MAX_SUBJECT_VOTES = 512, 3
#: An alert is compared with so many of its group that the model finds most like it.
NEIGHBOURS = 20
#: So many subjects must have been accused wrongly before accusations like it weigh less.
MIN_SUBJECTS = 5
#: Upper bound of the share of real ones among its neighbours for an alert to be told as false.
MAX_REAL_SHARE = 0.25
#: A real alert that is overlooked costs more than a false one that is read.
_REAL_WEIGHT = 2.0
_RATE, _SHRINKAGE, _STEEPEST = 0.1, 0.01, 1.0
_STANDARD_95 = 1.96

Features = dict[str, float]


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """An alert that was judged; ``strength`` is its evidence over the threshold."""

    group: str
    subject: str
    strength: float
    real: bool
    features: Features


class Opinion(NamedTuple):
    """What the model makes of an alert.

    ``real`` is the probability that analysts call it real, ``votes`` how many neighbours were
    judged, ``false`` how many of them to be false, ``is_false`` whether that is enough.
    """

    real: float = 0.5
    votes: int = 0
    false: int = 0
    is_false: bool = False


class Reranker:
    """River's online logistic regression over features of alerts, and the alerts it learned from.

    Before anybody has judged anything every alert is as likely real as false. A vote moves the
    model by a bounded step, and a subject has at most `MAX_SUBJECT_VOTES`. No few votes make
    light of a whole group: an alert counts as false only if, of the judged alerts of its group
    that the model finds most like it, the share of real ones is small by the upper end of its
    95 % interval (twelve votes at least, without one to the contrary), they are about several
    subjects, and one of them had as much evidence.

    Examples
    --------
    >>> model = Reranker()
    >>> model.rank({"events": 0.2}, group="evasion", strength=1.0).real
    0.5
    >>> for number in range(12):
    ...     vote = Vote("evasion", f"client-{number}", 1.5, False, {"events": 0.2})
    ...     model.learn(vote)
    >>> model.rank({"events": 0.2}, group="evasion", strength=1.0).is_false
    True
    >>> model.rank({"events": 0.2}, group="evasion", strength=9.0).is_false
    False
    """

    def __init__(self, votes: Iterable[Vote] = ()) -> None:
        self._votes: list[Vote] = []
        self._model = _untaught()
        for vote in votes:
            self._take(vote)

    @property
    def votes(self) -> tuple[Vote, ...]:
        """All that it knows: it is what the last `MAX_VOTES` make of a new one."""
        return tuple(self._votes)

    def rank(self, features: Mapping[str, float], *, group: str, strength: float) -> Opinion:
        """Return what analysts would make of an alert."""
        real = self._real(features)
        # Of those that are equally alike the newest count.
        mine = [vote for vote in reversed(self._votes) if vote.group == group]
        nearest = sorted(mine, key=lambda vote: abs(self._real(vote.features) - real))[:NEIGHBOURS]
        wrong = [vote for vote in nearest if not vote.real]
        is_false = (
            real < 0.5
            and _upper(len(nearest) - len(wrong), len(nearest)) <= MAX_REAL_SHARE
            and len({vote.subject for vote in wrong}) >= MIN_SUBJECTS
            and strength <= max(vote.strength for vote in wrong)
        )
        return Opinion(real, len(nearest), len(wrong), is_false)

    def learn(self, vote: Vote) -> bool:
        """Learn a vote; tell whether it counted."""
        if sum(vote.subject == held.subject for held in self._votes) >= MAX_SUBJECT_VOTES:
            return False
        self._take(vote)
        if len(self._votes) > MAX_VOTES:
            self._votes, self._model, held = [], _untaught(), self._votes[1:]
            for old in held:
                self._take(old)
        return True

    def _take(self, vote: Vote) -> None:
        self._model.learn_one(vote.features, vote.real, w=_REAL_WEIGHT if vote.real else 1.0)
        self._votes.append(vote)

    def _real(self, features: Mapping[str, float]) -> float:
        return float(self._model.predict_proba_one(dict(features))[True])


def _untaught() -> LogisticRegression:
    return LogisticRegression(
        SGD(_RATE), l2=_SHRINKAGE, intercept_lr=_RATE, clip_gradient=_STEEPEST
    )


def _upper(hits: int, trials: int) -> float:
    """Return the upper end of Wilson's interval of a share."""
    if not trials:
        return 1.0
    z2 = _STANDARD_95**2
    middle = hits + z2 / 2
    spread = _STANDARD_95 * math.sqrt(hits * (trials - hits) / trials + z2 / 4)
    return (middle + spread) / (trials + z2)
