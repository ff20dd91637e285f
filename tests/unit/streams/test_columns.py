from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.columns import codes, integers, payload_hashes, score_rows, tensor_rows
from tests.unit.streams.interactions import interactions

tensors = st.one_of(
    st.none(),
    st.sampled_from(["uint8", "float32", "int64", "complex64"]).flatmap(
        lambda dtype: st.tuples(st.just(dtype), st.integers(0, 5))
    ),
)


@given(rows=st.lists(tensors, max_size=12), start=st.integers(0, 12))
def test_tensors_that_fit_come_back_as_they_went_in(rows, start):
    built = []
    for row, tensor in enumerate(rows):
        dtype, size = tensor or (None, 0)
        values = np.full(size, row + 1, dtype) if dtype else None
        built.append({"input": None if values is None else values.tobytes(), "input_dtype": dtype})
    batch = interactions(built).slice(start)
    for floating, dtypes in ((False, {"uint8", "int64"}), (True, {"float32"})):
        expected = [
            row
            for row, tensor in enumerate(rows[start:])
            if tensor and tensor[0] in dtypes and tensor[1] == 3
        ]
        found = tensor_rows(batch, elements=3, floating=floating)
        assert sorted(int(row) for at, _ in found for row in at) == expected
        for at, values in found:
            assert (values == (at + start + 1)[:, None]).all()


def test_nulls_become_the_missing_value():
    column = interactions([{"status": 200}, {}]).column("status")
    assert integers(column, np.int16, 0).tolist() == [200, 0]
    assert integers(column.slice(1), np.int16, 0).tolist() == [0]


def test_distinct_strings_get_codes_and_nulls_minus_one():
    found, names = codes(interactions([{"tenant": "t"}, {}, {"tenant": "t"}]).column("tenant"))
    assert found.tolist() == [0, -1, 0]
    assert names == ("t",)


def test_a_missing_hash_is_zero_also_behind_a_slice():
    rows = [{"input_hash": bytes([9] * 16)}, {}, {"input_hash": bytes([1] * 16)}]
    column = interactions(rows).column("input_hash")
    one, nine = 0x0101010101010101, 0x0909090909090909
    assert payload_hashes(column).tolist() == [nine, 0, one]
    assert payload_hashes(column.slice(1)).tolist() == [0, one]
    assert payload_hashes(column.slice(1, 1)).tolist() == [0]


@pytest.mark.parametrize("start", [0, 1])
def test_score_lists_of_one_length_become_a_matrix(start):
    rows = [{"scores": [0.25, 0.75]}, {"scores": [1.0]}, {}, {"scores": [0.5, 0.5]}]
    at, scores = score_rows(interactions(rows).column("scores").slice(start), 2)
    assert at.tolist() == [row - start for row in (0, 3) if row >= start]
    assert scores.tolist() == [[0.25, 0.75], [0.5, 0.5]][start:]
