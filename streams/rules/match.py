"""Which rule takes a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from streams.respond.severity import RANK

if TYPE_CHECKING:
    from detectors.finding import Severity, SubjectType
    from streams.rules.model import Rule


class Matchable(Protocol):
    """What matching looks at; a finding is one, and so is a rule's `Sample`."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def severity(self) -> Severity: ...  # noqa: D102

    @property
    def detector(self) -> str: ...  # noqa: D102

    @property
    def run_length(self) -> int: ...  # noqa: D102

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def tenant(self) -> str | None: ...  # noqa: D102


def matches(rule: Rule, item: Matchable, subject: SubjectType) -> bool:
    """Tell whether ``rule`` takes a finding about a subject of this type."""
    return (
        item.kind in rule.kinds
        and (not rule.detectors or item.detector in rule.detectors)
        and (not rule.subjects or subject in rule.subjects)
        and RANK[item.severity] >= RANK[rule.min_severity]
        and item.run_length >= rule.min_run_length
        and _named(rule.models, item.model)
        and _named(rule.tenants, item.tenant)
    )


def bounded(rule: Rule, severity: Severity) -> Severity:
    """Return the severity kept within the rule's bounds."""
    if RANK[severity] < RANK[rule.severity.floor]:
        return rule.severity.floor
    if RANK[severity] > RANK[rule.severity.ceiling]:
        return rule.severity.ceiling
    return severity


def _named(names: tuple[str, ...], name: str | None) -> bool:
    if not names:
        return True
    return name is not None and any(
        name.startswith(item[:-1]) if item.endswith("*") else name == item for item in names
    )
