"""What an alert says beyond its summary, in lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.respond.explain import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.respond.alerts import Alert

MAX_EVIDENCE_LINES = 8


class Fact(NamedTuple):
    """A line under a heading."""

    heading: str
    text: str

    def __str__(self) -> str:
        return f"{self.heading + ':':<11} {self.text}"


def facts(alert: Alert) -> Iterator[Fact]:
    """Yield the lines, the most needed first."""
    yield Fact("What to do", alert.recommended_action)
    yield Fact("Runbook", alert.runbook)
    yield Fact("Why now", f"{alert.reason}, {_counted(alert.findings_total, 'finding')} so far")
    yield Fact("Risk", f"{alert.risk_score} of 100 ({alert.severity})")
    yield Fact("Who", _who(alert))
    for line in in_words(alert.explanation):
        yield Fact("Why", line)
    for entry in (*alert.atlas, *alert.owasp):
        yield Fact("Technique", f"{entry.id} {entry.name} ({entry.edition})")
    for moment in alert.timeline:
        counts = _counted(moment.clients, "client"), _counted(moment.findings, "finding")
        yield Fact("Timeline", f"{moment.time} {moment.what}, {', '.join(counts)}")
    for interaction in alert.interactions[:MAX_EVIDENCE_LINES]:
        yield Fact("Evidence", f"vedette audit show {interaction}")
    for held in alert.held:
        yield Fact("Held back", f"{held.severity}: {held.title} ({held.id})")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _who(alert: Alert) -> str:
    ids = alert.subject.ids[:MAX_EVIDENCE_LINES]
    more = alert.subjects_total - len(ids)
    named = ", ".join(ids) or "-"
    return f"{alert.subject.type} {named}" + (f" and {more:,} more" if more > 0 else "")
