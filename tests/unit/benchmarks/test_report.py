"""What was wanted stands beside what was measured, also where it was missed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from benchmarks.pipeline.report import WANTED, figure, judged, machine, table


def result(**changes: Any) -> dict[str, Any]:
    measured = {
        **dict.fromkeys(("bare_us", "ingest_us", "detect_us", "index_us", "stock_us"), 10.0),
        "whole_events_per_s": 12_000.0,
        "alert_latency_s": {"p50": 0.2, "p99": 0.9},
        "state_bytes_per_client": 6000.0,
        "rss_growth_mb": 0.5,
        "ratios": {"ingest_to_bare": 3.0, "stock_to_ours": 9.0},
        "events": 1000,
        "stock_events": 100,
        "machine": machine(),
    }
    return {**measured, **changes}


def missed(measured: dict[str, Any]) -> list[str]:
    return [line["what"] for line in judged(measured) if not line["met"]]


def test_a_good_run_misses_nothing() -> None:
    assert missed(result()) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"detect_us": 30.1}, "detect"),
        ({"whole_events_per_s": 9_999.0}, "the whole, broker included"),
        ({"alert_latency_s": {"p50": 0.2, "p99": 2.1}}, "alert latency, 99th percentile"),
    ],
)
def test_a_missed_figure_is_named(changes: dict[str, Any], what: str) -> None:
    assert missed(result(**changes)) == [what]


def test_figures_are_found_by_their_path() -> None:
    assert figure(result(), "alert_latency_s.p99") == 0.9


def test_the_table_shows_every_figure() -> None:
    written = io.StringIO()
    Console(width=120, file=written).print(table(result(detect_us=77.7)))
    shown = written.getvalue()
    assert "77.70 µs/event" in shown
    assert all(wanted.title in shown for wanted in WANTED)
