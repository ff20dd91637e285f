"""The rule for findings that no other takes: a finding is never without an alert."""

from __future__ import annotations

from typing import Final

from streams.rules.model import Example, Rule, Runbook, Sample

FALLBACK: Final = Rule(
    id="unmatched",
    version=1,
    title="Unusual behaviour",
    maturity="stable",
    behaviour="behaves in a way that its detector was built to catch",
    action="Look at the interactions named in the alert, then write a rule for this kind.",
    kinds=("unmatched",),
    response="watch",
    runbook=Runbook(
        meaning="A detector spoke and no rule takes its kind of finding.",
        look=("Read the detector's section in detection.md, then the interactions.",),
        false_positives=("Unknown: nobody has written a rule for this kind.",),
        respond=("Add a rule for the kind to your rules directory and check it.",),
    ),
    tests=(
        Example(name="its own kind", finding=Sample(kind="unmatched"), matches=True),
        Example(name="another kind", finding=Sample(kind="burst"), matches=False),
    ),
)
