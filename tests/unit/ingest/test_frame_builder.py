"""Rows come back from frames as they went in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decode import Interaction
from streams.frames import INTERACTION_SCHEMA, decode_frame
from streams.ingest.batches import UNKNOWN, rows_to_batch
from streams.ingest.frame_builder import FrameBuilder
from streams.partition import partition_of
from streams.roles.base import Partition

SOURCE = Partition("events", 3)


def builder(**changes: Any) -> FrameBuilder:
    return FrameBuilder(
        SOURCE, **{"partitions": 4, "max_rows": 512, "max_bytes": 512 << 10, **changes}
    )


def row_number(number: int, client: str = "u1_a", **columns: Any) -> Interaction:
    return Interaction(
        f"events-3-{number}-0", 1_000_000 + number, number, 0, client=client, model="m", **columns
    )


texts = st.none() | st.text(max_size=5)
small = st.none() | st.integers(0, 1000)
rows = st.builds(
    Interaction,
    id=st.text(max_size=5),
    time_us=st.integers(0, 2**50),
    offset=st.integers(0, 2**40),
    index=st.integers(0, 9),
    tenant=texts,
    client=st.text(min_size=1, max_size=3),
    model=st.text(min_size=1, max_size=3),
    operation=st.sampled_from([None, "predict"]),
    status=small,
    latency_us=small,
    prompt=texts,
    completion=texts,
    input=st.none() | st.binary(max_size=9),
    input_shape=st.none() | st.lists(st.integers(1, 9), max_size=3),
    scores=st.none()
    | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(
        lambda values: np.array(values, "<f4").tobytes()
    ),
    label=small,
    params=st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    input_hash=st.none() | st.binary(min_size=16, max_size=16),
)


def as_row(values: dict[str, Any]) -> dict[str, Any]:
    """Undo what Arrow's Python view does to a row."""
    scores, params = values["scores"], values["params"]
    moment = values["time"]
    return {
        **values,
        "time": (moment - datetime(1970, 1, 1, tzinfo=UTC)),
        "scores": None if scores is None else np.array(scores, "<f4").tobytes(),
        "params": None if params is None else dict(params),
    }


@settings(max_examples=60)
@given(st.lists(rows, min_size=1, max_size=8))
def test_a_frame_round_trips(made: list[Interaction]) -> None:
    batch = rows_to_batch(SOURCE, made)
    batch.validate(full=True)
    assert batch.schema.equals(INTERACTION_SCHEMA, check_metadata=True)
    for row, values in zip(made, map(as_row, batch.to_pylist()), strict=True):
        for name in row.__struct_fields__:
            if name not in ("time_us", "offset", "index"):
                assert values[name] == getattr(row, name), name
        assert (values["source"], values["source_partition"]) == SOURCE
        assert (values["source_offset"], values["source_index"]) == (row.offset, row.index)
        assert values["time"].total_seconds() == row.time_us / 1e6


def test_a_client_always_lands_where_kafka_would_put_it() -> None:
    build = builder()
    for number in range(40):
        build.add(row_number(number, client=f"u1_{number % 7}"))
    for frame in build.flush():
        for client in decode_frame(frame.data)["client"].to_pylist():
            assert partition_of(client.encode(), 4) == frame.target


def test_frames_of_one_target_keep_the_order() -> None:
    build = builder(max_rows=3)
    for number in range(10):
        build.add(row_number(number))
    frames = build.flush()
    assert [frame.rows for frame in frames] == [3, 3, 3, 1]
    assert [frame.first_id for frame in frames] == [f"events-3-{n}-0" for n in (0, 3, 6, 9)]
    offsets = [value for frame in frames for value in decode_frame(frame.data)["source_offset"]]
    assert pa.array(offsets).to_pylist() == list(range(10))


def test_a_frame_is_closed_at_its_size() -> None:
    build = builder(max_bytes=4096)
    for number in range(4):
        build.add(row_number(number, input=bytes(2000)))
    assert [frame.rows for frame in build.flush()] == [2, 2]


def test_flushing_nothing_gives_nothing() -> None:
    build = builder()
    build.add(row_number(1))
    assert len(build.flush()) == 1
    assert build.flush() == []


def test_who_and_what_are_never_null() -> None:
    batch = rows_to_batch(SOURCE, [Interaction("i", 0, 0, 0)])
    assert batch["client"].to_pylist() == batch["model"].to_pylist() == [UNKNOWN]
