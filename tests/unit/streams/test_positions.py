from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.columns import times_us
from streams.positions import IDLE_SOURCE_US, Positions
from tests.unit.streams.interactions import EPOCH, interactions


def at(partition: int, offset: int, seconds: float = 0.0, index: int = 0) -> dict[str, object]:
    return {
        "source_partition": partition,
        "source_offset": offset,
        "source_index": index,
        "time": EPOCH + timedelta(seconds=seconds),
    }


def test_rows_are_fresh_the_first_time_and_replays_the_second():
    batch = interactions([at(0, 5), at(0, 6), at(0, 6, index=1)])
    positions = Positions()
    assert positions.fresh(batch).tolist() == [True, True, True]
    assert positions.fresh(batch).tolist() == [False, False, False]


def test_a_repeated_position_inside_one_frame_is_a_replay():
    assert Positions().fresh(interactions([at(0, 5), at(0, 5)])).tolist() == [True, False]


def test_sources_are_told_apart_by_topic_and_partition():
    rows = [at(0, 5), at(1, 5), {**at(0, 5), "source": "responses"}, {**at(0, 5), "source": None}]
    assert Positions().fresh(interactions(rows)).all()


def test_the_watermark_is_the_time_of_the_slowest_source():
    positions = Positions()
    batch = interactions([at(0, 1, 10), at(1, 1, 5), at(0, 2, 20)])
    assert positions.fresh(batch).all()
    seconds = (positions.watermarks(batch) - times_us(batch.column("time"))[0]) / 1e6
    assert seconds.tolist() == [0, -5, -5]


def test_a_silent_source_holds_the_watermark_back_only_so_long():
    positions = Positions()
    batch = interactions([at(0, 1, 0), at(1, 1, 1000)])
    watermark = positions.watermarks(batch)
    assert watermark[1] == times_us(batch.column("time"))[1] - IDLE_SOURCE_US


positions_of_one_stream = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(0, 30)), min_size=1, max_size=40
)


@given(rows=positions_of_one_stream, cut=st.integers(0, 40))
def test_neither_cuts_nor_a_restore_change_what_is_fresh_or_the_watermark(rows, cut):
    batch = interactions([at(p, o, s) for p, o, s in rows])
    whole = Positions()
    fresh = whole.fresh(batch)
    expected = whole.watermarks(batch.filter(fresh))

    first, second = Positions(), Positions()
    got = []
    for positions, part in ((first, batch.slice(0, cut)), (second, batch.slice(cut))):
        if positions is second:
            second.restore(first.snapshot())
        kept = part.filter(positions.fresh(part))
        got.append(positions.watermarks(kept))
    assert np.concatenate(got).tolist() == expected.tolist()
