"""What a rule is. Every field is bounded; unknown ones are refused."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from detectors.finding import Severity, SubjectType
from streams.respond.actions import Action

Maturity = Literal["stable", "incubating", "sandbox", "deprecated"]
Mode = Literal["active", "shadow"]

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Sentence = Annotated[str, Meta(min_length=1, max_length=600)]
Names = Annotated[tuple[Word, ...], Meta(max_length=64)]
Sentences = Annotated[tuple[Sentence, ...], Meta(max_length=16)]
Seconds = Annotated[float, Meta(ge=1, le=30 * 86_400)]


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Severities that an incident of the rule is kept within."""

    floor: Severity = "info"
    ceiling: Severity = "critical"


class Campaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When many clients are one cause: so many of them, each seen within so many seconds."""

    clients: Annotated[int, Meta(ge=2, le=1000)] = 5
    within_s: Seconds = 600


class Updates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an open incident is worth telling again.

    ``evidence`` and ``growth`` are factors over what was last told, of the log evidence and of
    the number of clients; a campaign's growth is told at most every ``growth_every_s``, and
    slower growth after a pause that begins there and doubles each time; ``remind_s`` repeats an
    alert that nobody acknowledged while findings still arrive.
    """

    evidence: Annotated[float, Meta(ge=1.1, le=100)] = 3.0
    growth: Annotated[float, Meta(ge=1.1, le=1000)] = 10.0
    growth_every_s: Seconds = 30
    remind_s: Seconds = 14_400


class Runbook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the person who was woken up needs."""

    meaning: Sentence
    look: Sentences
    false_positives: Sentences
    respond: Sentences


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding in short, for a rule's tests."""

    kind: Word
    severity: Severity = "high"
    detector: Word = "test.detector"
    run_length: Annotated[int, Meta(ge=1)] = 60_000
    model: Word = "digits"
    tenant: Word | None = None
    subject: SubjectType = "client"


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test of a rule: must the finding match, and with which severity."""

    name: Word
    finding: Sample
    matches: bool
    severity: Severity | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule.

    ``models`` and ``tenants`` are exact names or prefixes that end with ``*``; what is empty
    does not restrict. ``window_s`` is how long an incident lives without findings.
    ``routes`` name sinks; without any, the sinks' own filters decide. ``response`` is the
    strongest verdict that the rule may lead to. ``inhibits`` are rules whose incidents of the
    same subject are not told while one of this rule is open.
    """

    id: Name
    version: Annotated[int, Meta(ge=1, le=100_000)]
    title: Word
    maturity: Maturity
    mode: Mode = "active"
    behaviour: Sentence
    action: Sentence
    kinds: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=64)]
    detectors: Names = ()
    models: Names = ()
    tenants: Names = ()
    subjects: tuple[SubjectType, ...] = ()
    min_severity: Severity = "info"
    min_run_length: Annotated[int, Meta(ge=0)] = 0
    severity: Bounds = Bounds()
    window_s: Seconds = 1800
    campaign: Campaign = Campaign()
    updates: Updates = Updates()
    response: Action | None = None
    inhibits: tuple[Name, ...] = ()
    routes: tuple[Name, ...] = ()
    atlas: Names = ()
    owasp: Names = ()
    runbook: Runbook
    tests: Annotated[tuple[Example, ...], Meta(min_length=2, max_length=64)]
