"""Detectors run in one order, whichever of them was imported first."""

from __future__ import annotations

import subprocess
import sys

import pytest

from detectors.registry import registered


@pytest.mark.parametrize("first", ["traffic.burst", "windows.half_space", "campaign.accounts"])
def test_the_order_does_not_depend_on_what_is_imported_first(first: str) -> None:
    code = (
        f"import detectors.{first}; from detectors.registry import registered;"
        "print(*(entry.name for entry in registered()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [entry.name for entry in registered()]


def test_the_query_detector_runs_first() -> None:
    assert registered()[0].name == "query.pincer"
