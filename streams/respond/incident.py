"""An incident: all findings of one cause, from the first until it has been quiet for long."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from detectors.finding import Finding, Severity
from streams.respond.ranking import Ranking

#: ``campaign`` is many clients with one cause; ``group`` a campaign that a detector found.
Scope = Literal["client", "campaign", "group", "model", "tenant"]
Reason = Literal[
    "opened",
    "campaign_opened",
    "severity_rose",
    "evidence_grew",
    "campaign_grew",
    "still_firing",
    "resolved",
    "closed_by_analyst",
    "false_positive",
    "no_news",
    "duplicate",
    "silenced",
    "inhibited",
    "acknowledged",
]
MAX_TIMELINE = 24
_FIRST_MOMENTS = 8
MAX_SAMPLES = 32
MAX_KEPT_EVIDENCE = 64


class Key(NamedTuple):
    """What makes findings one incident."""

    rule: str
    model: str
    scope: Scope
    subject: str


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident's timeline."""

    time: str
    what: str
    severity: Severity
    clients: int
    findings: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What people were last told; ``at_us`` in event time."""

    at_us: int
    severity: Severity
    log_e: float
    clients: int


class Incident(msgspec.Struct, kw_only=True):
    """The state of one incident.

    ``clients`` counts findings by client; clients beyond the bound are only counted, with
    repetitions, in ``clients_beyond``. ``stated`` is the largest number of accounts that one
    finding has stated, named or not. ``strongest`` is the finding with the most evidence, which
    explains the incident. ``touched_us`` is when it was last heard of, by the watermark.
    """

    id: str
    key: Key
    rule_version: int
    shadow: bool
    tenant: str | None
    opened_us: int
    last_us: int
    touched_us: int
    severity: Severity
    strongest: Finding
    findings: int = 0
    clients: dict[str, int] = {}
    clients_beyond: int = 0
    stated: int = 0
    earlier: int = 0
    sequence: int = 0
    timeline: list[Moment] = []
    samples: list[str] = []
    told: Told | None = None
    acknowledged_by: str | None = None
    ranking: Ranking = Ranking()

    @property
    def client_count(self) -> int:
        """How many clients take part, as far as is known."""
        return max(len(self.clients) + self.clients_beyond, self.stated)

    @property
    def exact(self) -> bool:
        """Whether every one of them is known by name, and so counted once."""
        return not self.clients_beyond and self.stated <= len(self.clients)

    def note(self, moment: Moment) -> None:
        """Add to the timeline; the first moments and the last ones are kept."""
        self.timeline.append(moment)
        if len(self.timeline) > MAX_TIMELINE:
            del self.timeline[_FIRST_MOMENTS]


def stated_accounts(finding: Finding) -> int:
    """Return of how many accounts a finding about a campaign speaks, 0 if it does not say."""
    accounts = finding.evidence.get("accounts") if finding.subject.type == "campaign" else None
    return accounts if isinstance(accounts, int) and accounts > 0 else 0


def slim(finding: Finding) -> Finding:
    """Return a finding without what an incident need not keep: it lives long, and so do many."""
    if len(finding.subject.ids) <= MAX_SAMPLES and len(finding.evidence) <= MAX_KEPT_EVIDENCE:
        return finding
    kept = dict(list(finding.evidence.items())[:MAX_KEPT_EVIDENCE])
    subject = msgspec.structs.replace(finding.subject, ids=finding.subject.ids[:MAX_SAMPLES])
    return msgspec.structs.replace(finding, subject=subject, evidence=kept)


def incident_id(*parts: str) -> str:
    """Return an incident's id, a function of its key and its first finding.

    Examples
    --------
    >>> incident_id("burst", "digits", "f1") == incident_id("burst", "digits", "f1")
    True
    """
    text = "\x00".join(parts).encode()
    return hashlib.blake2b(text, digest_size=16, person=b"vedette-incid").hexdigest()
