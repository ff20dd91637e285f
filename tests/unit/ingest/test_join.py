"""Halves find each other in any order, and nothing is lost or told twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import Fatal
from streams.decode import Decoded, Interaction, Part
from streams.ingest.join import Joiner

TIMEOUT_MS = 1000


def joiner(**bounds: Any) -> Joiner:
    return Joiner(timeout_ms=TIMEOUT_MS, **{"max_pending": 100, **bounds})


def half(
    part: Part, event_id: str, offset: int, rows: int = 1, time_us: int | None = None
) -> Decoded:
    """A half; a request knows its prompt, a response its label and status.

    One of another offset with the same time is the same one, sent again.
    """
    time_us = offset if time_us is None else time_us
    made = [Interaction(f"t-0-{offset}-{index}", time_us) for index in range(rows)]
    for row in made:
        if part is Part.RESPONSE:
            row.label, row.status, row.model_version = time_us, 200, "2"
        else:
            row.prompt, row.client = event_id, "u1_a"
    return Decoded(part, "s", event_id, made)


def told(rows: list[Interaction]) -> list[tuple[Any, ...]]:
    """What matters of emitted rows: id, position, label and why it stayed alone."""
    return [
        (row.id, row.offset, row.index, row.label, (row.params or {}).get("vedette.join"))
        for row in rows
    ]


def test_a_response_completes_its_request() -> None:
    join = joiner()
    assert join.add(5, 0, half(Part.REQUEST, "a", 5)) == []
    (row,) = join.add(8, 10, half(Part.RESPONSE, "a", 8))
    assert (row.id, row.offset, row.index, row.time_us) == ("t-0-5-0", 8, 0, 5)
    assert (row.prompt, row.label, row.status, row.client) == ("a", 8, 200, "u1_a")
    assert row.model_version == "2"
    assert join.counts == {"joined": 1}


def test_a_response_may_come_first() -> None:
    join = joiner()
    join.add(5, 0, half(Part.RESPONSE, "a", 5))
    assert told(join.add(6, 0, half(Part.REQUEST, "a", 6))) == [("t-0-6-0", 6, 0, 5, None)]
    assert join.counts == {"joined": 1, "reordered": 1}


def test_halves_of_different_sources_do_not_meet() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0))
    other = half(Part.RESPONSE, "a", 1)
    other.source = "elsewhere"
    assert join.add(1, 0, other) == []


def test_complete_events_pass_at_once() -> None:
    join = joiner()
    complete = Decoded(Part.COMPLETE, "s", "a", half(Part.REQUEST, "a", 3, rows=2).rows)
    assert told(join.add(3, 0, complete)) == [
        ("t-0-3-0", 3, 0, None, None),
        ("t-0-3-1", 3, 1, None, None),
    ]
    assert join.counts == {}


def test_a_whole_call_that_is_sent_again_is_told_once() -> None:
    join = joiner()

    def call(offset: int, **options: Any) -> Decoded:
        return Decoded(Part.COMPLETE, "s", "a", half(Part.REQUEST, "a", offset, **options).rows)

    assert len(join.add(3, 0, call(3))) == 1
    assert join.add(4, 10 * TIMEOUT_MS, call(4, time_us=3)) == []
    assert join.counts == {"duplicate": 1}
    assert told(join.add(5, 0, call(5, time_us=4))) == [("t-0-5-0", 5, 0, None, None)]


def test_whole_calls_without_an_id_are_told_each_time() -> None:
    join = joiner()
    for offset in range(2):
        call = Decoded(Part.COMPLETE, "s", "", half(Part.REQUEST, "a", offset, time_us=0).rows)
        assert len(join.add(offset, 0, call)) == 1


def test_of_a_record_of_several_calls_only_those_that_came_before_are_left_out() -> None:
    join = joiner()

    def record_of(offset: int, *names: str) -> Decoded:
        calls = [
            Decoded(Part.COMPLETE, "s", name, half(Part.REQUEST, name, offset, time_us=0).rows)
            for name in names
        ]
        calls[0].more = calls[1:]
        return calls[0]

    assert [row.prompt for row in join.add(0, 0, record_of(0, "a", "b", "a"))] == ["a", "b"]
    out = join.add(1, 0, record_of(1, "b", "c", "d"))
    assert [(row.prompt, row.offset, row.index) for row in out] == [("c", 1, 0), ("d", 1, 1)]
    assert join.counts == {"duplicate": 2}


@pytest.mark.parametrize("timed", [True, False])
def test_the_same_call_at_another_time_is_another_call_if_its_producer_tells_the_time(
    timed: bool,
) -> None:
    join = joiner()
    out = []
    for offset in range(2):
        call = Decoded(Part.COMPLETE, "s", "a", half(Part.REQUEST, "a", offset).rows, timed=timed)
        out += join.add(offset, 0, call)
    assert len(out) == 1 + timed


def test_a_caller_who_repeats_an_id_hides_no_call() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0))
    (row,) = join.add(1, 0, half(Part.REQUEST, "a", 1))
    assert (row.id, row.params) == ("t-0-1-0", {"vedette.join": "reused_id"})
    assert told(join.add(2, 0, half(Part.RESPONSE, "a", 2))) == [("t-0-0-0", 2, 0, 2, None)]
    join.add(3, 0, half(Part.REQUEST, "a", 3))
    assert told(join.add(4, 0, half(Part.RESPONSE, "a", 4))) == [("t-0-3-0", 4, 0, 4, None)]
    assert join.counts == {"reused_id": 1, "joined": 2}


def test_what_was_seen_is_bounded_and_survives_a_crash() -> None:
    join = joiner(remembered=10)
    sent = [half(Part.REQUEST, str(n), n) for n in range(100)]
    for offset, request in enumerate(sent):
        join.add(offset, offset * TIMEOUT_MS, request)
    restarted = joiner(remembered=10)
    restarted.restore(join.snapshot())
    for offset, request in enumerate(sent[90:], 100):
        assert restarted.add(offset, 99 * TIMEOUT_MS, request) == []
    assert restarted.counts["duplicate"] == 10
    assert len(restarted.snapshot()) < 1000


def test_a_half_that_waits_knows_itself_longer_than_others_are_remembered() -> None:
    join = joiner(remembered=2)
    for offset in range(8):
        join.add(offset, 0, half(Part.REQUEST, str(offset), offset))
    assert join.add(8, 0, half(Part.REQUEST, "0", 8, time_us=0)) == []
    assert join.counts == {"duplicate": 1}


def test_a_request_without_response_is_kept_as_a_fact() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "refused", 0))
    assert join.add(1, TIMEOUT_MS - 1, None) == []
    (row,) = join.add(2, TIMEOUT_MS, None)
    assert (row.offset, row.index, row.status) == (2, 0, None)
    assert row.params == {"vedette.join": "orphan_request"}
    assert join.counts == {"orphaned": 1}


def test_a_response_without_request_is_kept_as_a_fact() -> None:
    join = joiner()
    join.add(0, 0, half(Part.RESPONSE, "a", 0))
    assert told(join.add(1, TIMEOUT_MS, None)) == [("t-0-0-0", 1, 0, 0, "orphan_response")]


def test_a_record_completes_before_it_expires_others() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "old", 0))
    join.add(1, 0, half(Part.REQUEST, "a", 1))
    out = join.add(2, TIMEOUT_MS, half(Part.RESPONSE, "a", 2))
    assert told(out) == [("t-0-1-0", 2, 0, 2, None), ("t-0-0-0", 2, 1, None, "orphan_request")]


@pytest.mark.parametrize("again", [Part.REQUEST, Part.RESPONSE])
def test_duplicates_are_ignored_before_and_after_the_join(again: Part) -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0))
    assert join.add(1, 0, half(Part.REQUEST, "a", 1, time_us=0)) == []
    assert len(join.add(2, 0, half(Part.RESPONSE, "a", 2, time_us=0))) == 1
    assert join.add(3, 0, half(again, "a", 3, time_us=0)) == []
    assert join.add(4, 10 * TIMEOUT_MS, None) == []
    assert join.counts == {"duplicate": 2, "joined": 1}


def test_the_oldest_half_gives_way_when_too_many_wait() -> None:
    join = joiner(max_pending=2)
    join.add(0, 0, half(Part.REQUEST, "a", 0))
    join.add(1, 0, half(Part.RESPONSE, "b", 1))
    assert told(join.add(2, 0, half(Part.REQUEST, "c", 2))) == [
        ("t-0-0-0", 2, 0, None, "evicted_request")
    ]
    assert told(join.add(3, 0, half(Part.REQUEST, "d", 3))) == [
        ("t-0-1-0", 3, 0, 1, "evicted_response")
    ]
    assert join.counts == {"evicted": 2}


def test_waiting_halves_hold_bounded_memory() -> None:
    join = joiner(max_pending_bytes=4000)
    evicted = 0
    for offset in range(50):
        big = half(Part.REQUEST, str(offset), offset)
        big.rows[0].input = bytes(1000)
        evicted += len(join.add(offset, 0, big))
    assert evicted == 48


def test_batches_pair_row_by_row() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0, rows=2))
    assert told(join.add(1, 0, half(Part.RESPONSE, "a", 1, rows=2))) == [
        ("t-0-0-0", 1, 0, 1, None),
        ("t-0-0-1", 1, 1, 1, None),
    ]


def test_batches_of_other_sizes_are_marked_and_not_guessed() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0, rows=3))
    out = join.add(1, 0, half(Part.RESPONSE, "a", 1, rows=2))
    assert [(row.label, row.status) for row in out] == [(None, 200)] * 3
    assert {row.params["vedette.join"] for row in out if row.params} == {"row_mismatch"}
    assert join.counts["row_mismatch"] == 1


def test_one_error_answers_a_whole_batch() -> None:
    join = joiner()
    join.add(0, 0, half(Part.REQUEST, "a", 0, rows=2))
    failure = half(Part.RESPONSE, "a", 1)
    failure.rows[0].status, failure.rows[0].error, failure.rows[0].label = 429, "limit", None
    out = join.add(1, 0, failure)
    assert [(row.status, row.error, row.params) for row in out] == [(429, "limit", None)] * 2


def test_a_quiet_partition_is_decided_with_positions_that_survive_a_crash() -> None:
    join = joiner()
    join.add(3, 0, half(Part.REQUEST, "a", 3))
    join.add(4, 0, half(Part.REQUEST, "b", 4))
    complete = Decoded(Part.COMPLETE, "s", "c", half(Part.REQUEST, "c", 5).rows)
    join.add(5, 0, complete)
    decided = told(join.expire_all())
    assert decided == [
        ("t-0-3-0", 5, 1, None, "orphan_request"),
        ("t-0-4-0", 5, 2, None, "orphan_request"),
    ]
    again = joiner()
    again.restore(join.snapshot())
    assert told(again.decided) == decided
    again.forget_decided()
    assert again.decided == []


@pytest.mark.parametrize("data", [b"", b"\x00", msgspec.msgpack.encode([99, 0, 0, [], [], []])])
def test_a_damaged_state_stops_the_worker(data: bytes) -> None:
    with pytest.raises(Fatal):
        joiner().restore(data)


records = st.lists(
    st.tuples(
        st.sampled_from([Part.REQUEST, Part.RESPONSE, Part.COMPLETE, None]),
        st.sampled_from("abcdef"),
        st.integers(0, 600),  # how much later than its predecessor, by the broker
        st.integers(1, 2),
        st.integers(1, 3),  # offsets have gaps
        st.integers(0, 2),  # the producer's time: the same one is the same event, sent again
    ),
    max_size=60,
)


def run(stream: list[Any], cuts: frozenset[int] = frozenset()) -> list[bytes]:
    """Emissions of a stream, with a crash and a restart at each of ``cuts``."""
    join, out, offset, now_ms = joiner(max_pending=3, remembered=4), [], 0, 0
    for number, (part, event_id, later_ms, rows, gap, time_us) in enumerate(stream):
        if number in cuts:
            restarted = joiner(max_pending=3, remembered=4)
            restarted.restore(join.snapshot())
            join = restarted
        offset, now_ms = offset + gap, now_ms + later_ms
        decoded = None if part is None else half(part, event_id, offset, rows, time_us)
        out += join.add(offset, now_ms, decoded)
    return [msgspec.msgpack.encode(row) for row in [*out, *join.expire_all()]]


@settings(max_examples=150)
@given(records, st.frozensets(st.integers(0, 60), max_size=5))
def test_snapshots_anywhere_change_nothing(stream: list[Any], cuts: frozenset[int]) -> None:
    assert run(stream, cuts) == run(stream)


@settings(max_examples=150)
@given(records)
def test_positions_rise_strictly_and_ids_are_unique(stream: list[Any]) -> None:
    rows = [msgspec.msgpack.decode(data, type=Interaction) for data in run(stream)]
    positions = [(row.offset, row.index) for row in rows]
    assert positions == sorted(set(positions))
    assert len({row.id for row in rows}) == len(rows)


@given(st.permutations([(part, name) for name in "abcdef" for part in (1, 2)]))
def test_every_order_of_halves_gives_the_same_pairs(order: list[tuple[int, str]]) -> None:
    join = joiner()
    out = []
    for offset, (part, name) in enumerate(order):
        out += join.add(offset, 0, half(Part(part), name, offset))
    assert sorted(row.prompt or "" for row in out) == list("abcdef")
    assert all(row.status == 200 and row.params is None for row in out)
