"""Findings and alerts for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.respond import RespondSettings
from detectors.finding import Finding, Subject, Technique
from streams.respond.incidents import Incidents
from streams.rules.load import load_rules

if TYPE_CHECKING:
    from streams.respond.alerts import Alert

RULES = load_rules()


def finding(**changes: Any) -> Finding:
    fields: dict[str, Any] = {
        "id": "f" * 32,
        "time": "2026-11-22T10:00:00.000000Z",
        "model": "digits",
        "tenant": "t1",
        "kind": "extraction",
        "detector": "extraction.coverage",
        "version": 1,
        "subject": Subject(type="client", ids=("u1_mallory",)),
        "trigger": "vedette.events.v1-0-41-0",
        "events": 1234,
        "since": "2026-11-22T09:00:00.000000Z",
        "log_e": 12.5,
        "run_length": 60_000,
        "severity": "high",
        "evidence": {
            "coverage": 0.75,
            "rows": 1234,
            "interactions": ["vedette.events.v1-0-7-0"],
            "own_log_e": 0.25,
            "own_over": 1180,
        },
        "atlas": (Technique(id="AML.T0024.002", name="Extract AI Model", edition="2026.10"),),
        "owasp": (Technique(id="LLM06", name="Unbounded Consumption", edition="2026"),),
    }
    return Finding(**{**fields, **changes})


def alert_of(finding: Finding) -> Alert:
    """Return the alert of a finding that is the first of its incident."""
    (found,) = Incidents(RespondSettings()).take(finding, RULES)
    return found


def alert(**changes: Any) -> Alert:
    return alert_of(finding(**changes))
