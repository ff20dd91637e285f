"""No figure of the quick evaluation may fall behind by more than its tolerance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.quality.run import QUICK, evaluate
from benchmarks.quality.victims import digits_victim
from models.device import one_thread

EXPECTED = Path(__file__).parents[2] / "benchmarks" / "quality" / "expected.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def measured():
    with one_thread():
        return evaluate(digits_victim(0), QUICK, 0, lambda _: None).summary()


def test_every_figure_is_expected(measured):
    assert set(measured) == set(json.loads(EXPECTED.read_text()))


def test_no_figure_falls_behind(measured):
    behind = {}
    for name, (value, tolerance) in json.loads(EXPECTED.read_text()).items():
        small_is_good = any(word in name for word in ("false alarms", "queries", "success"))
        worse = measured[name] - value if small_is_good else value - measured[name]
        if worse > tolerance:
            behind[name] = (measured[name], value)
    assert not behind
