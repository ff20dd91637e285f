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
#: Evidence in pairs: what was seen, and what the subject itself stays below.
_OWN_BOUNDS = (("count", "level"),)
_LOG_E = "_log_e"
#: Numbers that describe the finding and weigh nothing.
_NOT_FEATURES = frozenset({"escalation", "window_s", "changes", "clients"})
_USUALS = ("own_", "cohort_", "limit_")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A number against what is usual for the subject itself or for all clients.

    ``bound``: ``usual`` is what they stay below, not what they have. ``over``: how many of the
    subject's own earlier scores the usual is the mean of; with none, nothing is usual for it yet.
    """

    name: str
    seen: float
    usual: float
    of: Literal["own", "cohort"]
    bound: bool = False
    over: int | None = None

    @property
    def in_words(self) -> str:
        """What it says."""
        if self.over == 0:
            return f"{self.name} is {self.seen:g}, usual is unknown ({self.of}, nothing before)"
        over = "" if self.over is None else f", mean of {self.over:,} before"
        below = "below " if self.bound else ""
        return f"{self.name} is {self.seen:g}, usual is {below}{self.usual:g} ({self.of}{over})"


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
    found += [item.in_words for item in explanation.comparisons]
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
    seen = dict(numbers)
    if finding.log_e > 0 and math.isfinite(finding.log_e) and finding.run_length > 1:
        # Benign clients pass it once in `run_length` events; detectors of several channels, and
        # those that judge less often, have a limit of their own.
        limit = numbers.get("limit_log_e", round(math.log(finding.run_length), 3))
        seen["log_e"] = finding.log_e
        yield Comparison(name="log_e", seen=finding.log_e, usual=limit, of="cohort", bound=True)
    for name, level in _OWN_BOUNDS:
        if name in seen and level in seen:
            yield Comparison(name=name, seen=seen[name], usual=seen[level], of="own", bound=True)
    over = int(numbers["own_over"]) if "own_over" in numbers else None
    for name, value in seen.items():
        if (usual := numbers.get(f"own_{name}")) is not None:
            yield Comparison(name=name, seen=value, usual=usual, of="own", over=over)
        if (usual := numbers.get(f"cohort_{name}")) is not None:
            yield Comparison(name=name, seen=value, usual=usual, of="cohort")


def _features(numbers: dict[str, float]) -> tuple[Feature, ...]:
    """Return what weighed most: shares of evidence if there are any, else what was measured."""
    weights = {
        name.removesuffix(_LOG_E): value
        for name, value in numbers.items()
        if name.endswith(_LOG_E) and not name.startswith(_USUALS) and value > 0
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
            if name not in _NOT_FEATURES and not name.startswith(_USUALS)
        ]
    return tuple(sorted(found, key=lambda item: -abs(item.value)))[:MAX_FEATURES]
