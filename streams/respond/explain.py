"""Why an alert was raised, in numbers: the channel, what is usual, what weighed most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from streams.respond.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.finding import Finding

MAX_COMPARISONS = 8
MAX_FEATURES = 5
_CHANNELS = ("channel", "metric", "label")
#: Evidence that a detector gives in pairs: what was seen, and the subject's own usual.
_OWN_PAIRS = (
    ("count", "level"),
    ("confidence_after", "confidence_before"),
)
_LOG_E = "_log_e"
#: Numbers that describe the finding and weigh nothing.
_NOT_FEATURES = frozenset({"escalation", "own_blocks", "window_s", "changes", "clients"})


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A number against what is usual for the subject itself or for all clients.

    ``bound``: ``usual`` is what they stay below, not what they have.
    """

    name: str
    seen: float
    usual: float
    of: Literal["own", "cohort"]
    bound: bool = False


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """Something that weighed; ``share`` of the whole evidence, where evidence adds up."""

    name: str
    value: float
    share: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why."""

    channel: str
    comparisons: tuple[Comparison, ...]
    features: tuple[Feature, ...]


def in_words(explanation: Explanation | None) -> list[str]:
    """Return an explanation in words, a line each."""
    if explanation is None:
        return []
    found = [f"channel {explanation.channel}"]
    found += [
        f"{item.name} is {item.seen:g}, usual is {'below ' if item.bound else ''}"
        f"{item.usual:g} ({item.of})"
        for item in explanation.comparisons
    ]
    for feature in explanation.features:
        share = "" if feature.share is None else f", {feature.share:.0%} of the evidence"
        found.append(f"weighs: {feature.name} {feature.value:g}{share}")
    return found


def explain(finding: Finding) -> Explanation:
    """Return the explanation of a finding, from its evidence."""
    numbers = {
        shown(key): float(value)
        for key, value in list(finding.evidence.items())[:256]
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return Explanation(
        channel=channel_of(finding),
        comparisons=tuple(_comparisons(finding, numbers))[:MAX_COMPARISONS],
        features=_features(numbers),
    )


def channel_of(finding: Finding) -> str:
    """Return the channel that crossed, the detector's name if it says none."""
    for key in _CHANNELS:
        value = finding.evidence.get(key)
        if isinstance(value, str):
            return shown(value)
    return shown(finding.detector)


def _comparisons(finding: Finding, numbers: dict[str, float]) -> Iterator[Comparison]:
    if math.isfinite(finding.log_e) and finding.run_length > 1:
        # Benign clients pass it once in `run_length` events.
        limit, reached = round(math.log(finding.run_length), 3), finding.log_e
        yield Comparison(name="log_e", seen=reached, usual=limit, of="cohort", bound=True)
    for seen, usual_name in _OWN_PAIRS:
        if seen in numbers and usual_name in numbers:
            yield Comparison(name=seen, seen=numbers[seen], usual=numbers[usual_name], of="own")
    for name, value in numbers.items():
        if f"own_{name}" in numbers:
            yield Comparison(name=name, seen=value, usual=numbers[f"own_{name}"], of="own")
        if f"cohort_{name}" in numbers:
            yield Comparison(name=name, seen=value, usual=numbers[f"cohort_{name}"], of="cohort")


def _features(numbers: dict[str, float]) -> tuple[Feature, ...]:
    """Return what weighed most: shares of evidence if there are any, else what was measured."""
    weights = {
        name.removesuffix(_LOG_E): value
        for name, value in numbers.items()
        if name.endswith(_LOG_E) and value > 0
    }
    if weights:
        total = sum(weights.values())
        found = [
            Feature(name=name, value=value, share=round(value / total, 3))
            for name, value in weights.items()
        ]
    else:
        found = [
            Feature(name=name, value=value)
            for name, value in numbers.items()
            if name not in _NOT_FEATURES and not name.startswith(("own_", "cohort_"))
        ]
    return tuple(sorted(found, key=lambda item: -abs(item.value)))[:MAX_FEATURES]
