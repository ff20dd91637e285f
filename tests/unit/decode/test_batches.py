"""Of a record of several calls a bad one is refused alone, and can be replayed alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import PoisonRecord
from streams.decode.model import Refusal
from tests.unit.decode.producers import CALL, GENAI, attribute, otlp
from tests.unit.decode.records import decode, record, rows_of
from tests.unit.decode.wire import field, fixed

LATE = {**CALL, "startTime": 1.0}
LONG = {**CALL, "end_user": "x" * 9000, "metadata": None}
TWICE = json.dumps(CALL).encode()[:-1] + b',"model":"m","model":"n"}'
BYTES = json.dumps(CALL).encode().replace(b'"hi"', b'"\xff"')
GOOD = json.dumps(CALL).encode()
BAD = {
    "time_in_past": json.dumps(LATE).encode(),
    "attribute_too_long": json.dumps(LONG).encode(),
    "duplicate_key": TWICE,
    "invalid_utf8": BYTES,
}


def of(value: bytes) -> Any:
    return decode(record(value, headers=[], key=None))


def lines(*calls: bytes) -> bytes:
    return b"\n".join(calls)


def array(*calls: bytes) -> bytes:
    return b"[" + b", ".join(calls) + b"]"


@pytest.mark.parametrize("put", [lines, array])
@pytest.mark.parametrize("reason", BAD)
def test_a_bad_call_of_litellm_is_refused_alone(reason: str, put: Any) -> None:
    bad = BAD[reason]
    decoded = of(put(GOOD, bad, GOOD))
    assert [row.id for row in rows_of(decoded)] == ["events-2-7-0", "events-2-7-2"]
    (refusal,) = decoded.refused
    assert (refusal.number, refusal.error.reason, refusal.value) == (1, reason, bad)
    with pytest.raises(PoisonRecord, match=reason):
        of(refusal.value)


def test_a_line_that_is_no_json_is_refused_alone() -> None:
    decoded = of(lines(GOOD, b'{"id": ', GOOD))
    assert len(rows_of(decoded)) == 2
    assert [refusal.value for refusal in decoded.refused] == [b'{"id": ']


@pytest.mark.parametrize("put", [lines, array])
def test_a_record_of_nothing_but_bad_calls_is_refused_whole(put: Any) -> None:
    with pytest.raises(PoisonRecord, match="time_in_past"):
        of(put(BAD["time_in_past"], BAD["duplicate_key"]))


def spans(*groups: Any) -> bytes:
    """The spans of several requests in one, those of one resource together."""
    found = [group["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for group in groups]
    tool = otlp(attribute("gen_ai.operation.name", stringValue="execute_tool"))
    extra = tool["resourceSpans"][0]["scopeSpans"][0]["spans"]
    whole = otlp(*GENAI)
    whole["resourceSpans"][0]["scopeSpans"] = [{"spans": extra}, {"spans": found}]
    return json.dumps(whole).encode()


COUNT = "gen_ai.usage.input_tokens"
MANY = attribute(COUNT, intValue=str(2**40))
LIST = otlp(*GENAI)
LIST["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = "none"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (otlp(*GENAI[:3], MANY), "int_out_of_range"),
        (otlp(*GENAI, startTimeUnixNano="1000"), "time_in_past"),
        (LIST, "wrong_type"),
    ],
)
def test_a_bad_span_in_json_is_refused_alone_with_its_resource(bad: Any, reason: str) -> None:
    decoded = of(spans(otlp(*GENAI), bad, otlp(*GENAI)))
    assert [row.id for row in rows_of(decoded)] == ["events-2-7-0", "events-2-7-2"]
    (refusal,) = decoded.refused
    assert (refusal.number, refusal.error.reason) == (1, reason)
    assert json.loads(refusal.value) == bad


def test_a_bad_span_that_is_mended_is_the_call_that_it_was() -> None:
    decoded = of(spans(otlp(*GENAI), otlp(*GENAI, startTimeUnixNano="1000")))
    (refusal,) = decoded.refused
    mended = of(refusal.value.replace(b'"1000"', b'"1795482000250000000"'))
    (expected,) = rows_of(of(json.dumps(otlp(*GENAI)).encode()))
    assert rows_of(mended) == [expected]
    assert mended.event_id == decoded.event_id


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(b'"spanId":"1","spanId":"2",', "duplicate_key"), (b'"name":"\xff",', "invalid_utf8")],
)
def test_what_is_wrong_within_one_span_of_json_spares_the_others(bad: bytes, reason: str) -> None:
    value = spans(otlp(*GENAI), otlp(*GENAI, kind=99))
    value = value.replace(b'"kind": 99', bad + b'"kind": 99')
    decoded = of(value)
    assert len(rows_of(decoded)) == 1
    assert [refusal.error.reason for refusal in decoded.refused] == [reason]
    outside = value.replace(bad, b"").replace(b"{", b"{" + bad, 1)
    with pytest.raises(PoisonRecord, match=reason):
        of(outside)


def proto_span(number: int, start_ns: int = 1_795_482_000_250_000_000) -> bytes:
    texts = {name["key"]: name["value"].get("stringValue") for name in GENAI}
    return (
        field(1, bytes(16))
        + field(2, number.to_bytes(8, "big"))
        + fixed(7, "<Q", start_ns)
        + b"".join(
            field(9, field(1, key) + field(2, field(1, text)))
            for key, text in texts.items()
            if text
        )
    )


def proto(*spans: bytes) -> bytes:
    resource = field(1, field(1, "service.name") + field(2, field(1, "bot")))
    return field(1, field(1, resource) + b"".join(field(2, field(2, span)) for span in spans))


@pytest.mark.parametrize("bad", [proto_span(7, 1000), b"\x0a\xff\xff\xff\xff\x0f"])
def test_a_bad_span_in_protobuf_is_refused_alone_with_its_resource(bad: bytes) -> None:
    decoded = of(proto(proto_span(1), bad, proto_span(2)))
    assert [row.id for row in rows_of(decoded)] == ["events-2-7-0", "events-2-7-2"]
    (refusal,) = decoded.refused
    assert (refusal.number, refusal.value) == (1, proto(bad))


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any))
def test_every_call_is_kept_or_refused(good: list[bool]) -> None:
    late = BAD["time_in_past"]
    for value in (
        array(*(GOOD if fits else late for fits in good)),
        spans(*(otlp(*GENAI, **({} if fits else {"startTimeUnixNano": "1000"})) for fits in good)),
        proto(
            *(proto_span(n, 1_795_482_000_250_000_000 if g else 1000) for n, g in enumerate(good))
        ),
    ):
        decoded = of(value)
        kept = {int(row.id.rsplit("-", 1)[1]) for row in rows_of(decoded)}
        refused = {refusal.number for refusal in decoded.refused}
        assert kept == {number for number, fits in enumerate(good) if fits}
        assert refused == set(range(len(good))) - kept


def test_refused_calls_that_share_much_are_not_told_many_times_over() -> None:
    """Each would bring the resource and the headers that it shares with thousands of others."""
    whole = otlp(*GENAI)
    group = whole["resourceSpans"][0]
    group["resource"]["attributes"].append(attribute("x", stringValue="x" * 1_000_000))
    (good,) = group["scopeSpans"][0]["spans"]
    group["scopeSpans"][0]["spans"] = [good] + [{**good, "startTimeUnixNano": "1000"}] * 2000
    with pytest.raises(PoisonRecord, match="time_in_past"):
        of(json.dumps(whole).encode())
    headers = [("x", b"x" * 1_000_000)]
    with pytest.raises(PoisonRecord, match="time_in_past"):
        decode(record(array(GOOD, *[BAD["time_in_past"]] * 2000), headers=headers))


@pytest.mark.parametrize("bad", [BAD["time_in_past"], b'{"id": 1, "messages": [}'])
def test_a_refusal_keeps_no_frame_and_so_no_record_alive(bad: bytes) -> None:
    (refusal,) = of(lines(GOOD, bad)).refused
    assert refusal.error.__traceback__ is None
    assert refusal.error.__context__ is None


def test_a_refusal_says_nothing_of_the_call_in_its_error() -> None:
    (refusal,) = of(array(GOOD, BAD["attribute_too_long"])).refused
    assert isinstance(refusal, Refusal)
    assert "xxx" not in str(refusal.error)
