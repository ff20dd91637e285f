"""A chunk in columns leaves what the same records leave one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from config.settings import IngestSettings
from streams.decode import RecordDecoder
from streams.decode.runs import MIN_RECORDS, RunDecoder
from streams.frames import decode_frame
from streams.ingest.frame_builder import FrameBuilder
from streams.ingest.join import Joiner
from streams.roles.base import Partition
from tests.unit.decode.records import BROKER_MS, NAMES, record, tensor
from tests.unit.fetches import fetched

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from streams.decode.runs import Run

SOURCE = Partition("events", 2)
ROWS, RUNS = RecordDecoder(IngestSettings(), NAMES), RunDecoder(IngestSettings(), NAMES)
SCORES = {"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}
EVENT = {
    "request": {"inputs": [tensor("UINT8", [1, 4], [0, 255, 17, 8])]},
    "response": {"outputs": [SCORES]},
}


def records(clients: Sequence[str], ids: Sequence[int]) -> list[Any]:
    return [
        record(EVENT, {"client": client, "id": f"r{number}"}, offset=place)
        for place, (client, number) in enumerate(zip(clients, ids, strict=True))
    ]


def run_of(items: list[Any]) -> Run:
    run = RUNS.decode(fetched(items))
    assert run is not None
    return run


def joiner(**changes: Any) -> Joiner:
    return Joiner(**{"timeout_ms": 1000, "max_pending": 100, "remembered": 10, **changes})


def builder(max_rows: int = 512, max_bytes: int = 1 << 20) -> FrameBuilder:
    return FrameBuilder(SOURCE, partitions=4, max_rows=max_rows, max_bytes=max_bytes)


def one_by_one(items: list[Any], joined: Joiner, built: FrameBuilder) -> None:
    for item in items:
        for row in joined.add(item.offset, item.timestamp, ROWS.decode(item)):
            built.add(row)


def at_once(items: list[Any], joined: Joiner, built: FrameBuilder) -> None:
    run = run_of(items)
    told = joined.add_run(run, BROKER_MS)
    assert told is not None
    built.add_run(run, told)


def by_target(built: FrameBuilder) -> dict[int, list[pa.RecordBatch]]:
    frames: dict[int, list[pa.RecordBatch]] = {}
    for frame in built.flush():
        batch = decode_frame(frame.data)
        assert frame.rows == batch.num_rows
        assert frame.first_id == batch.column("id")[0].as_py()
        frames.setdefault(frame.target, []).append(batch)
    return frames


drawn = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.integers(0, 60)), min_size=MIN_RECORDS, max_size=80
)


@given(drawn, st.integers(1, 20), st.integers(200, 3000))
def test_frames_and_joins_are_the_same(
    events: list[tuple[str, int]], max_rows: int, max_bytes: int
) -> None:
    items = records(*zip(*events, strict=True))
    ways = []
    for take in (one_by_one, at_once):
        joined, built = joiner(), builder(max_rows, max_bytes)
        take(items, joined, built)
        state = sorted(joined.snapshot())  # sets are written in any order
        told = joined.counts, joined.next_offset, joined.latest_ms
        ways.append((by_target(built), told, state))
    assert ways[0] == ways[1]


def test_rows_before_and_behind_a_run_stay_in_order() -> None:
    items = records("a" * (MIN_RECORDS + 2), range(MIN_RECORDS + 2))
    joined, built = joiner(), builder()
    one_by_one(items[:1], joined, built)
    at_once(items[1:-1], joined, built)
    one_by_one(items[-1:], joined, built)
    ((batch,),) = by_target(built).values()
    assert batch.column("source_offset").to_pylist() == list(range(MIN_RECORDS + 2))


def test_a_run_waits_for_no_half_that_falls_due_within_it() -> None:
    joined = joiner()
    half = record(EVENT["request"], {"type": "io.vedette.inference.request.v1", "id": "half"})
    half.timestamp = BROKER_MS - 1000
    joined.add(0, half.timestamp, ROWS.decode(half))
    run = run_of(records("a" * MIN_RECORDS, range(MIN_RECORDS)))
    assert joined.add_run(run, BROKER_MS - 1) is not None
    assert joined.add_run(run, BROKER_MS) is None
    assert joined.latest_ms == BROKER_MS - 1


def test_orphans_of_a_quiet_partition_follow_the_last_record_of_a_run() -> None:
    joined = joiner()
    half = record(EVENT["request"], {"type": "io.vedette.inference.request.v1", "id": "half"})
    joined.add(0, BROKER_MS, ROWS.decode(half))
    items = records("a" * MIN_RECORDS, range(MIN_RECORDS))
    joined.add_run(run_of(items), BROKER_MS)
    (orphan,) = joined.expire_all()
    assert (orphan.offset, orphan.index) == (MIN_RECORDS - 1, 1)
