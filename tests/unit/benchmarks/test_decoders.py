"""What the benchmark of the decoders measures is what it says."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.decoders.measure import measure
from benchmarks.decoders.samples import plain_json, samples
from tests.unit.decode.records import decode

SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_decoded_and_has_json_to_compare_with(name: str) -> None:
    decoded = decode(SAMPLES[name])
    assert decoded is not None
    (row,) = decoded.rows
    assert row.model is not None or name == "OpenAI chat, stream"
    assert msgspec.json.decode(plain_json(SAMPLES[name]) or b"")


def test_costs_are_of_one_record() -> None:
    costs = measure(rounds=1)
    assert set(costs) == set(SAMPLES)
    assert all(1 < cost.ours_us < 100_000 and cost.ratio > 0 for cost in costs.values())
