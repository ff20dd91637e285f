"""Clients that send one prompt with other biases, or again for its scores."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pytest

from benchmarks.quality.asking import BENIGN, HOSTILE, asking
from streams.columns import map_entries


@pytest.fixture(scope="module")
def found():
    return {kind.kind: kind for kind in asking(seed=5, clients=150, run_length_events=60_000)}


@pytest.mark.parametrize("kind", BENIGN)
def test_who_asks_for_biases_and_scores_of_new_prompts_is_left_alone(found, kind):
    assert found[kind].found.count == 0


@pytest.mark.parametrize("kind", HOSTILE)
def test_who_asks_one_prompt_again_is_found_within_a_dozen_requests(found, kind):
    assert found[kind].found.value == 1.0
    assert max(found[kind].delays) <= 12


def test_entries_of_a_map_column_are_found_by_name_in_any_slice():
    rows = [{"n": "2", "seed": "1"}, None, {}, {"logit_bias": "ab"}, {"seed": "3", "n": None}]
    column = pa.array(
        [None if row is None else list(row.items()) for row in rows],
        pa.map_(pa.string(), pa.string()),
    )
    for start in range(len(rows)):
        expected = defaultdict(dict)
        for at, row in enumerate(rows[start:]):
            for name in ("n", "logit_bias"):
                if row and row.get(name) is not None:
                    expected[at][name] = row[name]
        got = defaultdict(dict)
        for at, name, value in map_entries(column.slice(start), ("n", "logit_bias")):
            got[at][name] = value
        assert got == expected
