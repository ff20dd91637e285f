"""Structured kinds are found in texts of other countries and forms than they were made on."""

from __future__ import annotations

from collections import Counter

import pytest

from streams.redact import Redactor
from tests.unit.redact.strangers import HOME, Span, Strangers

KINDS = ("card", "iban", "ssn", "email", "ip", "phone")
#: Not those that patterns were written on.
SEEDS = (20261125, 20261126)
TEXTS = 3000


def is_due(span: Span) -> bool:
    """Whether a form gives it away: abroad only telephone numbers that begin with a country."""
    return span.kind != "phone" or span.locale in HOME or span.value.startswith(("+", "00"))


@pytest.fixture(scope="module")
def outcome() -> Counter[tuple[str, str]]:
    """What became of every value, by kind, and of everything that was found."""
    redactor = Redactor()
    counts: Counter[tuple[str, str]] = Counter()
    for seed in SEEDS:
        for text, spans in Strangers(seed).texts(TEXTS):
            left = list(spans)
            for hit in redactor.find(text):
                met = [
                    span
                    for span in left
                    if span.kind == hit.kind and span.start < hit.end and hit.start < span.end
                ]
                counts[hit.kind, "right" if met else "wrong"] += 1
                left = [span for span in left if span not in met[:1]]
            for span in spans:
                if is_due(span):
                    counts[span.kind, "missed" if span in left else "found"] += 1
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_found(outcome: Counter[tuple[str, str]], kind: str) -> None:
    found, missed = outcome[kind, "found"], outcome[kind, "missed"]
    assert found + missed > 100
    assert found / (found + missed) >= 0.97


def test_what_is_found_is_there(outcome: Counter[tuple[str, str]]) -> None:
    totals = {
        word: sum(count for (_, said), count in outcome.items() if said == word)
        for word in ("right", "wrong")
    }
    assert totals["right"] / sum(totals.values()) >= 0.95
