"""What each kind of finding means in plain words, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

RUNBOOKS = "docs/runbooks.md"


@dataclass(frozen=True, slots=True)
class Play:
    """Words and advice for one kind of finding.

    ``behaviour`` continues the sentence "<subject> ...", for example "is copying the model".
    """

    title: str
    behaviour: str
    action: str


PLAYS: dict[str, Play] = {
    "anomaly": Play(
        "Unusual client",
        "behaves unlike the clients that the profile was built from",
        "Look at the client's interactions; tell its owner, or extend the reference traffic.",
    ),
    "burst": Play(
        "Request burst",
        "sends far more requests than its own history explains",
        "Throttle the client, then ask its owner whether the load is wanted.",
    ),
    "evasion": Play(
        "Evasion attempt",
        "sends inputs shaped to be misclassified",
        "Send this client's decisions to manual review and keep its inputs for retraining.",
    ),
    "drift": Play(
        "Traffic drift",
        "no longer looks like the traffic that its profile was built from",
        "Compare recent inputs with the reference set; recalibrate if the change is wanted.",
    ),
    "extraction": Play(
        "Model extraction",
        "queries the model in the way that copies it",
        "Throttle the client, round or hide its scores, and check its contract for scraping.",
    ),
    "collusion": Play(
        "Colluding accounts",
        "acts together as one attacker spread over several accounts",
        "Treat the accounts as one for limits, and look for a shared credential or network.",
    ),
    "membership": Play(
        "Membership inference",
        "probes which records the model was trained on",
        "Hide confidence scores from the client and tell the owner of the training data.",
    ),
}

_UNKNOWN = Play(
    "Unusual behaviour",
    "behaves in a way that its detector was built to catch",
    "Look at the interactions named in the alert.",
)


def play_for(kind: str) -> Play:
    """Return the words for ``kind``; a kind without an entry gets general ones."""
    return PLAYS.get(kind, _UNKNOWN)


def runbook(kind: str) -> str:
    """Return the path of the runbook, relative to the repository's root."""
    return f"{RUNBOOKS}#{kind}" if kind in PLAYS else RUNBOOKS
