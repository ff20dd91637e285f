"""What is read of a fetch is what aiokafka reads of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from streams.records import FetchedRecord, read_fetched
from streams.records.batches import is_readable
from tests.unit.fetches import batch_of, fetched

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ATTRIBUTES_AT, CRC_AT = 21, 17
NOW_MS = 1_795_482_000_000

maybe_bytes = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=70), maybe_bytes), max_size=4)
contents = st.lists(
    st.tuples(st.integers(0, 10**6), maybe_bytes, maybe_bytes, headers), min_size=1, max_size=8
)


def records(drawn: list[Any], first_offset: int = 5, step: int = 1) -> list[Any]:
    return [
        SimpleNamespace(
            topic="events", partition=3, offset=first_offset + step * place,
            timestamp=NOW_MS + later_ms, key=key, value=value, headers=named,
        )
        for place, (later_ms, key, value, named) in enumerate(drawn)
    ]  # fmt: skip


def some(count: int, first_offset: int = 5, step: int = 1) -> list[Any]:
    drawn = [(place, b"k", b"v%d" % place, [("n", b"x")]) for place in range(count)]
    return records(drawn, first_offset, step)


def as_stock(data: bytes) -> list[FetchedRecord]:
    """The records as aiokafka's own reader gives them."""
    unread, found = MemoryRecords(data), []
    while unread.has_next():
        found += [
            FetchedRecord(
                "events", 3, item.offset, item.timestamp, item.timestamp_type,
                item.key, item.value, [tuple(header) for header in item.headers],
            )
            for item in unread.next_batch()
        ]  # fmt: skip
    return found


@given(contents, st.sampled_from(list(CODECS.values())), st.integers(1, 3))
def test_records_are_those_that_aiokafka_reads(drawn: Any, codec: int, step: int) -> None:
    data = batch_of(records(drawn, step=step), codec)
    assert list(read_fetched("events", 3, data, 0)[0]) == as_stock(data)


@given(contents)
def test_columns_are_those_of_the_records(drawn: Any) -> None:
    found = fetched(records(drawn))
    columns = found.columns
    assert columns.offsets.tolist() == [record.offset for record in found]
    assert columns.timestamps_ms.tolist() == [record.timestamp for record in found]
    for place, record in enumerate(found):
        start, stop = columns.value_starts[place], columns.value_stops[place]
        assert (None if stop < start else columns.data[start:stop]) == record.value


def test_batches_follow_each_other() -> None:
    data = batch_of(some(3)) + batch_of(some(2, first_offset=8), CODECS["snappy"])
    found, next_offset = read_fetched("events", 3, data, 5)
    assert list(found) == as_stock(data)
    assert (found.offsets, next_offset) == ([5, 6, 7, 8, 9], 10)


def test_a_batch_that_is_cut_off_is_fetched_again() -> None:
    data = batch_of(some(3)) + batch_of(some(2, first_offset=8))[:-1]
    found, next_offset = read_fetched("events", 3, data, 5)
    assert (len(found), next_offset) == (3, 8)


def test_records_before_the_wanted_offset_are_left_out() -> None:
    found, _ = read_fetched("events", 3, batch_of(some(5)), 7)
    assert [record.offset for record in found] == [7, 8, 9]
    assert found.since(9).offsets == [9]
    assert not len(found.since(10))


def test_a_compacted_batch_has_gaps() -> None:
    found = fetched(some(3, step=4))
    assert found.offsets == [5, 9, 13]
    assert found.columns.offsets.tolist() == [5, 9, 13]


def test_a_slice_is_a_list_of_records() -> None:
    found = fetched(some(4))
    assert [record.value for record in found[1:3]] == [b"v1", b"v2"]
    assert found[-1].offset == 8


def test_brokers_time_is_that_of_all_its_records() -> None:
    data = changed(batch_of(some(3)), ATTRIBUTES_AT + 1, 0x08)
    found, _ = read_fetched("events", 3, data, 0)
    assert list(found) == as_stock(data)
    assert {record.timestamp_type for record in found} == {1}
    assert set(found.columns.timestamps_ms.tolist()) == {NOW_MS + 2}


def test_control_batches_are_passed_over() -> None:
    found, next_offset = read_fetched(
        "events", 3, changed(batch_of(some(2)), ATTRIBUTES_AT + 1, 0x20), 5
    )
    assert (len(found), next_offset) == (0, 7)


def test_a_changed_byte_is_found() -> None:
    data = bytearray(batch_of(some(2)))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        read_fetched("events", 3, bytes(data), 0)


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(UnsupportedCodecError, match="codec 7"):
        read_fetched("events", 3, changed(batch_of(some(2)), ATTRIBUTES_AT + 1, 7), 0)


@given(st.integers(61, 120), st.integers(0, 255))
def test_records_that_lie_about_their_lengths_are_corrupt_or_read(at: int, byte: int) -> None:
    data = changed(batch_of(some(4)), at, byte)
    try:
        found, _ = read_fetched("events", 3, data, 0)
        list(found)
        assert len(found.columns.offsets) == len(found)
    except CorruptRecordException:
        pass


def test_a_header_without_a_name_is_corrupt() -> None:
    data = batch_of(some(1))
    at = len(data) - 4  # the length of the name, before it, and of its value
    assert data[at : at + 2] == b"\x02n"
    found, _ = read_fetched("events", 3, changed(data, at, 0x01), 0)
    with pytest.raises(CorruptRecordException, match="no name"):
        list(found)


def test_older_batches_are_told() -> None:
    data = bytearray(batch_of(some(2)))
    assert is_readable(bytes(data))
    data[16] = 1
    assert not is_readable(bytes(data))


def changed(data: bytes, at: int, byte: int) -> bytes:
    """Change a byte, and the checksum with it."""
    out = bytearray(data)
    if at < len(out):
        out[at] = byte
    out[CRC_AT:ATTRIBUTES_AT] = calc_crc32c(bytes(out[ATTRIBUTES_AT:])).to_bytes(4, "big")
    return bytes(out)
