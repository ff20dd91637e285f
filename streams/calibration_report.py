"""What a calibration found, as Markdown with pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import TAIL_LEVELS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from detectors.profile import Profile

REPORT, PICTURE = "report.md", "thresholds.png"


def write_report(files: Path, model: str, profile: Profile, facts: dict[str, Any]) -> None:
    """Write ``report.md`` and its picture into ``files``."""
    _draw(files / PICTURE, profile)
    (files / REPORT).write_text(_text(model, profile, facts), encoding="utf-8")


def _text(model: str, profile: Profile, facts: dict[str, Any]) -> str:
    encoder = facts.get("encoder_facts", {})
    agreement = encoder.get("agreement")
    lines = [
        f"# Profile of {model}",
        "",
        "| what | value |",
        "| --- | --- |",
        f"| interactions in the reference | {facts['rows']:,} |",
        f"| of these with input and scores | {facts['tensors']:,} |",
        f"| samples kept apart from the encoder's training | {profile.samples:,} |",
        f"| classes with thresholds of their own | {len(profile.classes)} |",
        f"| anchors | {len(profile.anchors):,} |",
        f"| encoder agrees with the model on its training rows | {_share(agreement)} |",
        f"| burst levels fitted to traffic | {'yes' if facts['traffic'] else 'no'} |",
        f"| members of the training set, as sketches | {facts['members']:,} |",
        f"| seed | {facts['seed']} |",
        "",
        *_budget(profile, facts),
        "Each line of the picture is a class; the dark line pools all of them. A level of 0.01 is",
        "passed by one in a hundred of the benign samples.",
        "",
        f"![thresholds]({PICTURE})",
        "",
    ]
    return "\n".join(lines)


def _budget(profile: Profile, facts: dict[str, Any]) -> list[str]:
    """Say how many false alarms are to be expected, and how many a rehearsal brought."""
    run_length = facts["run_length_events"]
    lines = [
        "## False-alarm budget",
        "",
        f"A detector may alarm a benign client once in {run_length:,} of its events, on average.",
    ]
    per_day = facts.get("events_per_day")
    if per_day:
        lines.append(
            f"At the pace of the reference, {per_day:,.0f} events a day, that is at most "
            f"{per_day / run_length:,.1f} false alarms a day and detector; set "
            "VEDETTE_DETECT__RUN_LENGTH_EVENTS for another balance."
        )
    rehearsed: dict[str, dict[str, int]] = profile.summary.get("false_alarms", {})
    if rehearsed:
        lines += [
            "",
            "| rehearsed clients | clients | queries | flagged |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {kind} | {seen['clients']:,} | {seen['queries']:,} | {seen['flagged']:,} |"
            for kind, seen in rehearsed.items()
        ]
        lines += ["", "These clients are made of the reference itself: a check, not a promise."]
    return [*lines, "", "## Thresholds", ""]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _draw(path: Path, profile: Profile) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only needed here

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels: list[tuple[str, NDArray[np.float64]]] = [
        ("squared distance of same-answer pairs", profile.near_thresholds.astype(float)),
        ("distance to the anchors, standardised", -profile.far_thresholds[None] / 1024),
        ("margin of the answer", profile.margin_thresholds / FIXED_POINT_ONE),
    ]
    levels = np.asarray(TAIL_LEVELS, np.float64)
    for axes, (title, thresholds) in zip(figure.subplots(1, 3), panels, strict=True):
        for group in range(len(thresholds) - 1, -1, -1):
            axes.plot(
                levels,
                _bounded(thresholds[group]),
                color="#1f3b5c" if group == 0 else "#9db7d5",
                linewidth=2 if group == 0 else 1,
            )
        axes.set(xscale="log", xlabel="level p", title=title)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the markers of levels that too few samples can tell."""
    return np.where(np.abs(values) < 2.0**40, values, np.nan)
