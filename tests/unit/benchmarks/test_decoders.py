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
    for record in SAMPLES[name]:
        decoded = decode(record)
        assert decoded is not None
        (row,) = decoded.rows
        assert row.model is not None
        assert msgspec.json.decode(plain_json(record))


@pytest.mark.parametrize("name", SAMPLES)
def test_no_two_samples_of_a_format_are_the_same_call(name: str) -> None:
    decoded = [decode(record) for record in SAMPLES[name]]
    assert len({item.event_id for item in decoded if item is not None}) == len(decoded)
    assert len({record.value for record in SAMPLES[name]}) == len(decoded)


def test_costs_are_of_one_record() -> None:
    costs = measure(rounds=1)
    assert set(costs) == set(SAMPLES)
    assert all(0.1 < cost.value_us <= cost.row_us < 100_000 for cost in costs.values())
    assert all(cost.ratio <= cost.value_ratio * 1.5 for cost in costs.values())
