"""What is decoded by columns is what each record alone would be decoded to."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import PoisonRecord
from config.settings import IngestSettings, SourceSettings
from streams.decode import Interaction, RecordDecoder
from streams.decode.envelope import parse_time_us
from streams.decode.runs import MIN_RECORDS, Run, RunDecoder
from streams.decode.runs.bodies import lift
from streams.decode.runs.numbers import parse_floats, parse_uint8
from streams.decode.runs.times import parse_times_us
from streams.ingest.seen import fingerprint, fingerprints
from tests.unit.decode.records import NAMES, record, tensor
from tests.unit.fetches import fetched

SETTINGS = IngestSettings(max_record_bytes=4096, max_identity_bytes=64)
ROWS, RUNS = RecordDecoder(SETTINGS, NAMES), RunDecoder(SETTINGS, NAMES)
SCORES = {"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}
USUAL = {
    "request": {"inputs": [tensor("UINT8", [1, 2, 2], [0, 255, 17, 8])]},
    "response": {"model_name": "digits", "outputs": [SCORES]},
}


def usual(**changes: Any) -> Any:
    return record(USUAL, changes)


def chunk(*others: Any) -> list[Any]:
    """Other records among enough usual ones, with rising offsets."""
    records = [usual(id=f"u{number}") for number in range(MIN_RECORDS)]
    for place, other in enumerate(others):
        records.insert(2 * place + 1, other)
    return numbered(records)


def numbered(records: list[Any]) -> list[Any]:
    for offset, item in enumerate(records):
        item.offset = 100 + offset
    return records


def alone(item: Any) -> Any:
    try:
        return ROWS.decode(item)
    except PoisonRecord:
        return None


def check(records: list[Any]) -> set[int]:
    """Compare a run with the records alone; return which records are in it."""
    run = RUNS.decode(fetched(records))
    if run is None:
        return set()
    marks = fingerprints(run)
    for place, number in enumerate(run.at):
        decoded = alone(records[number])
        assert decoded is not None, "a record is told that is refused alone"
        (expected,) = decoded.rows
        expected.offset, expected.index = records[number].offset, 0
        assert row_of(run, place) == expected
        assert marks[place] == fingerprint(decoded)
    return set(run.at)


def row_of(run: Run, place: int) -> Interaction:
    fields = {name: column[place] for name, column in run.columns.items()}
    return Interaction(**{**fields, "input": bytes(fields["input"])})


def test_usual_records_are_all_read() -> None:
    assert len(check(chunk())) == MIN_RECORDS


def test_few_records_are_left_to_the_others() -> None:
    assert RUNS.decode(fetched(chunk()[:-1])) is None


def test_a_source_with_settings_of_its_own_is_left_to_the_others() -> None:
    own = IngestSettings(sources={"events": SourceSettings(client=["header:x"])})
    assert RunDecoder(own, NAMES).decode(fetched(chunk())) is None


def test_numbers_may_be_spaced_as_by_pythons_json() -> None:
    spaced = usual()
    spaced.value = json.dumps(USUAL).encode()
    assert 1 in check(chunk(spaced))


def test_real_numbers_are_read() -> None:
    event = {**USUAL, "request": {"inputs": [tensor("FP32", [1, 3], [0.5, -1e-3, 7])]}}
    assert 1 in check(chunk(record(event)))


def test_large_inputs_are_not_parsed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(texts: list[bytes], count: int) -> Any:
        parsed.append(sum(map(len, texts)))
        return parse_uint8(texts, count)

    monkeypatch.setattr("streams.decode.runs.samples.parse_uint8", parse)
    event = {**USUAL, "request": {"inputs": [tensor("UINT8", [50_000], [255] * 50_000)]}}
    runs = RunDecoder(IngestSettings(), NAMES)
    records = [record(event, {"id": f"l{number}"}, offset=number) for number in range(MIN_RECORDS)]
    run = runs.decode(fetched(records))
    assert run is not None
    assert len(run.at) == MIN_RECORDS
    assert max(parsed) < 1 << 19


def test_models_of_several_sizes_share_a_chunk() -> None:
    event = {**USUAL, "request": {"inputs": [tensor("UINT8", [5], [1, 2, 3, 4, 5])]}}
    assert 1 in check(chunk(record(event)))


def test_what_few_records_bring_is_read_too() -> None:
    plain = [
        {"tenant": ""},
        {"keyid": ""},
        {"model": ""},
        {"endpoint": "/a?key=1"},
        {"time": "2026-11-24T01:00:07.5Z"},
    ]
    assert check(chunk(*(usual(**changes) for changes in plain))) >= {1, 3, 5, 7, 9}


WRONG = [
    {"status": "1000"},
    {"latencyus": "x"},
    {"clientip": "nobody"},
    {"client": ""},
    {"client": "x" * 65},
    {"client": b"\xff"},
    {"id": ""},
    {"time": "2036-11-24T01:00:00.5Z"},
    {"time": "2026-02-30T01:00:00.5Z"},
    {"time": "yesterday, or so it be"},
    {"source": ""},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_a_wrong_attribute_leaves_the_record_out(changes: dict[str, Any]) -> None:
    assert len(check(chunk(usual(**changes)))) == MIN_RECORDS


@pytest.mark.parametrize("changes", [{"type": "x.request"}, {"specversion": "2.0"}], ids=str)
def test_other_events_are_left_to_the_others(changes: dict[str, Any]) -> None:
    assert not check(chunk(usual(**changes)))


def test_headers_with_other_names_leave_the_record_out() -> None:
    assert check(chunk(usual(client=None), usual(x="y"))).isdisjoint({1, 3})
    assert not check(numbered([usual(client=None) for _ in range(MIN_RECORDS)]))


REQUEST = '"request":{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}]}'
RESPONSE = '"response":{"outputs":[{"name":"p","shape":[1],"datatype":"FP32","data":[2]}]}'


def joined(*members: str) -> str:
    return "{" + ",".join(members) + "}"


TRICKS = {
    "response first": joined(RESPONSE, REQUEST),
    "arrays of others": joined('"a":{"data":[9]},"b":{"data":[8]}', REQUEST, RESPONSE),
    "a hidden name": joined('"a":{"d\\u0061ta":[9]}', REQUEST, RESPONSE),
    "a quote in a text": joined('"a":"\\"data\\":[9]"', REQUEST, RESPONSE),
    "the same key twice": joined(REQUEST, RESPONSE, REQUEST),
    "data twice": joined(REQUEST.replace("[1]}]", '[1],"data":[7]}]'), RESPONSE),
    "no end": joined(REQUEST, RESPONSE)[:-5],
    "not UTF-8": joined('"a":"\xff"', REQUEST, RESPONSE),
    "two inputs": joined(REQUEST.replace("[1]}]", "[1]}," + REQUEST[21:-1]), RESPONSE),
    "two rows": joined(REQUEST.replace("[1]", "[2,1]", 1), RESPONSE),
    "a nested array": joined(REQUEST.replace("[1]}", "[[1]]}"), RESPONSE),
    "a label": joined(REQUEST, RESPONSE.replace("FP32", "INT32")),
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS.keys())
def test_tricks_are_left_to_the_others(text: str) -> None:
    tricky = usual()
    tricky.value = text.encode("latin-1")
    assert 1 not in check(chunk(tricky))


PLAIN = ["0", "7", "42", "255"]
STRANGE = [
    *("256", "300", "999", "1000", "007", "00", "-1", "-0", "1.5", "1e2", "1e40", "1e999"),
    *("null", "true", '"1"', "[1]", "", " 1", "1 2", "NaN", "9007199254740993"),
]
numbers = st.sampled_from(PLAIN + STRANGE)


@given(st.lists(numbers, min_size=1, max_size=6), st.sampled_from([",", ", ", " ,"]))
def test_bytes_are_read_as_json_reads_them_or_not_at_all(texts: list[str], comma: str) -> None:
    text = comma.join(texts).replace(", ", ",").encode()
    found = parse_uint8([text, b"3" + b",3" * (len(texts) - 1)], len(texts))
    if found is not None:
        assert found[0].tolist() == json.loads(b"[" + text + b"]")
    elif set(texts) <= set(PLAIN) and comma != " ,":
        pytest.fail("plain numbers are not read")


@given(st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), min_size=1))
def test_every_list_of_bytes_is_read(rows: list[list[int]]) -> None:
    found = parse_uint8([b",".join(b"%d" % value for value in row) for row in rows], 3)
    assert found is not None
    assert found.tolist() == rows


def test_lists_that_lend_each_other_numbers_are_not_read() -> None:
    assert parse_uint8([b"1,2,3", b"4"], 2) is None
    assert parse_floats([b"1,2,3", b"4"], 2) is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_real_numbers_are_read_as_json_reads_them_or_not_at_all(values: list[float]) -> None:
    found = parse_floats([json.dumps(values)[1:-1].encode()], len(values))
    if found is not None:
        assert found[0].tolist() == values
    else:
        assert max(map(abs, values)) >= 2**53


instants = st.datetimes(timezones=st.just(UTC))


@given(st.lists(instants, min_size=1, max_size=5), st.sampled_from(["seconds", "milliseconds"]))
def test_times_are_read_as_one_alone_is(moments: list[Any], precision: str) -> None:
    texts = [moment.isoformat(timespec=precision) for moment in moments]
    times, known = parse_times_us([text.encode() for text in texts])
    assert known.all()
    assert times.tolist() == [parse_time_us(text) for text in texts]


@given(st.text("0123456789-:TZ.+", min_size=20, max_size=26))
def test_a_text_is_no_time_unless_alone_it_is_the_same(text: str) -> None:
    times, known = parse_times_us([text.encode()])
    if known[0]:
        assert times[0] == parse_time_us(text)


changes = st.dictionaries(
    st.sampled_from(["client", "tenant", "time", "status", "latencyus", "clientip", "model", "id"]),
    st.sampled_from(["", "7", "203.0.113.9", "2026-11-24T01:00:03.25Z", "x" * 70, "1000"]),
    max_size=3,
)
arrays = st.lists(numbers, max_size=4).map(",".join)


@settings(max_examples=150)
@given(st.lists(st.tuples(changes, arrays, arrays), max_size=6))
def test_any_record_is_told_as_alone_or_left_out(drawn: list[tuple[Any, str, str]]) -> None:
    others = []
    for attributes, pixels, scores in drawn:
        item = usual(**attributes)
        item.value = item.value.replace(b"0, 255, 17, 8", pixels.encode())
        item.value = item.value.replace(b"0.25, 0.75", scores.encode())
        others.append(item)
    assert len(check(chunk(*others))) >= MIN_RECORDS


def test_a_body_is_cut_in_three() -> None:
    lifted = lift(b'{"data":[1,2],"b":{"data": [3, 4]}}')
    assert lifted == (b'{"data":[1],"b":{"data": [2]}}', b"1,2", b"3,4")
    assert lift(b'{"data":[1,2]}') is None


def test_pieces_leave_no_record_out_between_them() -> None:
    bad = usual(status="x")
    run = RUNS.decode(fetched(chunk(bad)))
    assert run is not None
    assert [list(piece.at) for piece in run.pieces()] == [[0], list(range(2, MIN_RECORDS + 1))]
    assert np.all(np.diff(run.at) > 0)
