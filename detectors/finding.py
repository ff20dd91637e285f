"""Findings: who did what, how sure, since when, on which evidence."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Severity = Literal["info", "low", "medium", "high", "critical"]
SubjectType = Literal["client", "campaign", "model", "tenant"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a finding is about."""

    type: SubjectType
    ids: tuple[str, ...]


class Technique(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a public taxonomy, always with its edition."""

    id: str
    name: str
    edition: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing of one detector, schema ``finding.v1``.

    ``trigger`` is the interaction that made the evidence cross, ``events`` how many of the
    subject's interactions had been seen until then, ``run_length`` the wanted number of
    benign events between false alarms, ``log_e`` the natural logarithm of the evidence.
    """

    id: str
    time: str
    model: str
    tenant: str | None
    kind: str
    detector: str
    version: int
    subject: Subject
    trigger: str
    events: int
    since: str
    log_e: float
    run_length: int
    severity: Severity
    evidence: dict[str, int | float | str | list[str] | None]
    atlas: tuple[Technique, ...] = ()
    owasp: tuple[Technique, ...] = ()
    config: str = ""


def finding_id(*parts: str | int) -> str:
    """Return a stable 128-bit hash of detector, version, subject and trigger."""
    text = "\x00".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"vedette-finding").hexdigest()
