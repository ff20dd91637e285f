"""Every kind of bad record has its own reason, and takes nothing else down with it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import streams.decode
from config.errors import PoisonRecord
from streams.decode.reasons import REASONS
from tests.unit.decode.records import (
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    decode,
    event_of,
    headers_of,
    record,
    tensor,
)
from tests.unit.decode.wire import binary_body, infer_request

TEXT = json.dumps(EVENT)
GOOD = tensor("UINT8", [1, 4], [1, 2, 3, 4])
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STRUCTURED = {"specversion": "1.0", "type": REQUEST_TYPE, "source": "s", "id": "1", "client": "c"}


def edited(old: str, new: str) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new, 1).encode()


def structured(**changes: Any) -> Any:
    event = {**STRUCTURED, "data": REQUEST, **changes}
    return record(event, headers=[("content-type", b"application/cloudevents+json")])


LITELLM = {"call_type": "completion", "model_group": "m", "startTime": 1.0}


def protobuf(message: bytes) -> Any:
    return record(message, {"type": REQUEST_TYPE}, content_type="application/x-protobuf")


def chat(**changes: Any) -> Any:
    return record({**CHAT, **changes}, {"type": REQUEST_TYPE})


BAD: dict[str, tuple[str, Any]] = {
    # envelope
    "no envelope at all": ("no_envelope", record(headers=[])),
    "unknown CloudEvents version": ("unknown_specversion", record(EVENT, {"specversion": "9.9"})),
    "no CloudEvents version": ("unknown_specversion", record(EVENT, {"specversion": None})),
    "old version of a new producer": ("unknown_specversion", record(EVENT, {"specversion": "0.3"})),
    "unknown event type": ("unknown_type", record(EVENT, {"type": "com.example.thing"})),
    "no id": ("missing_attribute", record(EVENT, {"id": None})),
    "empty id": ("missing_attribute", record(EVENT, {"id": ""})),
    "no source": ("missing_attribute", record(EVENT, {"source": None})),
    "nobody called": (
        "missing_client",
        record(EVENT, {"client": None, "keyid": None, "clientip": None}, key=None),
    ),
    "client id of a megabyte": ("attribute_too_long", record(EVENT, {"client": "x" * 1_000_000})),
    "key of a megabyte": (
        "attribute_too_long",
        record(EVENT, {"client": None, "keyid": None}, key=b"x" * 1_000_000),
    ),
    "user of a megabyte in the body": ("attribute_too_long", chat(user="x" * 1_000_000)),
    "two client headers": (
        "duplicate_attribute",
        record(headers=[*headers_of(), ("ce-client", b"mallory")]),
    ),
    "header that is not UTF-8": ("invalid_utf8", record(EVENT, {"client": b"\xff\xfe"})),
    "address that is none": ("bad_attribute", record(EVENT, {"clientip": "localhost"})),
    "status that is no number": ("bad_attribute", record(EVENT, {"status": "ok"})),
    "negative latency": ("bad_attribute", record(EVENT, {"latencyus": "-1"})),
    "latency beyond 64 bits": ("int_out_of_range", record(EVENT, {"latencyus": "9" * 40})),
    "status beyond three digits": ("int_out_of_range", record(EVENT, {"status": "20000"})),
    "time that is none": ("bad_time", record(EVENT, {"time": "yesterday"})),
    "time without a zone": ("bad_time", record(EVENT, {"time": "2026-11-24T01:00:00"})),
    "time in the far future": ("time_in_future", record(EVENT, {"time": "2099-01-01T00:00:00Z"})),
    "time in the far past": ("time_in_past", record(EVENT, {"time": "1999-01-01T00:00:00Z"})),
    "wrong content type": ("wrong_content_type", record(content_type="image/png")),
    "wrong charset": (
        "wrong_content_type",
        record(content_type="application/json; charset=utf-16"),
    ),
    "record that is too large": ("too_large", record(b"x" * ((4 << 20) + 1))),
    "structured event without version": ("unknown_specversion", structured(specversion=None)),
    "structured event with two kinds of data": (
        "bad_structured_event",
        structured(data_base64="e30="),
    ),
    "structured event with broken base64": (
        "bad_structured_event",
        record(
            {**STRUCTURED, "data_base64": "???"},
            headers=[("content-type", b"application/cloudevents+json")],
        ),
    ),
    "structured event with a list as id": ("wrong_type", structured(id=[1])),
    "structured event with a huge client": ("attribute_too_long", structured(client="x" * 600)),
    # JSON
    "empty body": ("empty_body", record(b"")),
    "truncated JSON": ("truncated_json", record(TEXT[:-20].encode())),
    "no JSON": ("malformed_json", record(b"GIF89a")),
    "two documents": ("malformed_json", record(b"%b {}" % TEXT.encode())),
    "invalid UTF-8": ("invalid_utf8", record(edited('"x"', '"x?"').replace(b"x?", b"x\xff"))),
    "invalid UTF-8 in an ignored member": (
        "invalid_utf8",
        record(edited('"id": "r1"', '"q": "?"').replace(b'"?"', b'"\xff"')),
    ),
    "nesting of 100 000 levels": (
        "too_deep",
        record(b'{"request":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ),
    "nesting of objects": ("too_deep", record(b'{"request":' * 50_000 + b"1" + b"}" * 50_000)),
    "the request twice": (
        "duplicate_key",
        record(edited('{"request"', '{"request": {}, "request"')),
    ),
    "the data twice": ("duplicate_key", record(edited('"data"', '"data": [9], "data"'))),
    "a key twice, once escaped": (
        "duplicate_key",
        record(edited('"inputs"', '"inputs": [], "in\\u0070uts"')),
    ),
    "a key twice, with a space before its colon": (
        "duplicate_key",
        record(edited('"shape"', '"shape" : [1], "shape"')),
    ),
    "a key twice in a member that is ignored": (
        "duplicate_key",
        record(edited('"inputs"', '"parameters": {"a": 1, "a": 2}, "inputs"')),
    ),
    "a duplicate hidden by a colon in a text": (
        "duplicate_key",
        record(edited('"id": "r1"', '"id": "a\\u003ab", "id": "r1"')),
    ),
    "messages twice": (
        "duplicate_key",
        record(b'{"messages":[],"model":"m","messages":[]}', {"type": REQUEST_TYPE}),
    ),
    "NaN": ("non_finite", record(edited("255", "NaN"))),
    "infinity": ("non_finite", record(edited("255", "-Infinity"))),
    "number beyond a double": ("non_finite", record(edited("255", "1e999"))),
    "float beyond FP32": ("non_finite", record(event_of(tensor("FP32", [1], [1e39])))),
    "float beyond FP16": ("non_finite", record(event_of(tensor("FP16", [1], [70000.0])))),
    "score beyond FP32": (
        "non_finite",
        record(event_of(GOOD, response={"outputs": [tensor("FP64", [1], [1e300])]})),
    ),
    "inputs that are no list": (
        "wrong_type",
        record({"request": {"inputs": 5}, "response": RESPONSE}),
    ),
    "no inputs at all": ("wrong_type", record(event_of())),
    "messages that are no list": ("wrong_type", chat(messages=5)),
    "unknown body": ("unknown_format", record({"request": {"q": 1}, "response": RESPONSE})),
    "a list as body": ("unknown_format", record([1, 2], {"type": REQUEST_TYPE})),
    "complete event without a request": ("wrong_type", record({"response": RESPONSE})),
    "unknown response": ("unknown_format", record({"request": REQUEST, "response": {"q": 1}})),
    # tensors
    "unknown datatype": ("unknown_datatype", record(event_of(tensor("FP8", [1], [1])))),
    "no dimension": ("bad_shape", record(event_of(tensor("UINT8", [], [1])))),
    "negative dimension": ("bad_shape", record(event_of(tensor("UINT8", [-1, -4], [1, 2, 3, 4])))),
    "dimension zero": ("bad_shape", record(event_of(tensor("UINT8", [0, 4], [])))),
    "data shorter than the shape": (
        "shape_mismatch",
        record(event_of(tensor("UINT8", [1, 5], [1, 2, 3, 4]))),
    ),
    "ragged data": ("shape_mismatch", record(event_of(tensor("UINT8", [2, 2], [[1, 2, 3], 4])))),
    "shape of astronomic size": (
        "too_many_elements",
        record(event_of(tensor("UINT8", [1 << 60] * 16, [1]))),
    ),
    "shape beyond 64 bits": (
        "int_out_of_range",
        record(edited("[1, 4]", "[1e0, 4]".replace("1e0", "9" * 5000))),
    ),
    "pixel above 255": ("value_out_of_range", record(edited("255", "256"))),
    "pixel below 0": ("value_out_of_range", record(edited("255", "-1"))),
    "value beyond INT32": (
        "value_out_of_range",
        record(event_of(tensor("INT32", [1], [1 << 31]))),
    ),
    "fraction in an integer tensor": ("wrong_value_type", record(edited("255", "25.5"))),
    "boolean in a number tensor": ("wrong_value_type", record(edited("255", "true"))),
    "number in a text tensor": ("wrong_value_type", record(event_of(tensor("BYTES", [1], [5])))),
    "null in a tensor": ("wrong_value_type", record(edited("255", "null"))),
    "tensor without data": (
        "missing_data",
        record(event_of({"name": "x", "shape": [1], "datatype": "FP32", "parameters": {}})),
    ),
    "more rows than a record may hold": (
        "too_many_rows",
        record(event_of(tensor("UINT8", [5000, 1], [0] * 5000))),
    ),
    "response with other rows": (
        "row_mismatch",
        record(event_of(tensor("UINT8", [2, 2], [1, 2, 3, 4]))),
    ),
    "scores and labels of other rows": (
        "row_mismatch",
        record(
            {"outputs": [tensor("FP32", [2, 2], [1, 2, 3, 4]), tensor("INT64", [3], [1, 2, 3])]},
            {"type": RESPONSE_TYPE},
        ),
    ),
    "label beyond 32 bits": (
        "int_out_of_range",
        record({"outputs": [tensor("INT64", [1], [1 << 40])]}, {"type": RESPONSE_TYPE}),
    ),
    "neither request nor error": (
        "wrong_type",
        record({"request": None, "response": RESPONSE}),
    ),
    "refused request of nobody": (
        "missing_client",
        record(
            {"request": None, "response": {"error": "bad"}},
            {"client": None, "keyid": None, "clientip": None},
            key=None,
        ),
    ),
    "raw and typed contents": ("raw_and_typed", protobuf(infer_request(raw=[b"\x01"], typed=True))),
    "protobuf that is cut short": ("malformed_protobuf", protobuf(infer_request()[:-1])),
    "protobuf of nothing but fields": ("too_many_fields", protobuf(b"\x50\x01" * 70_000)),
    "binary tensors shorter than told": (
        "bad_binary_length",
        record(binary_body(4)[:-1], {"type": REQUEST_TYPE}),
    ),
    "stream of something else": (
        "malformed_stream",
        record(b"data: {}\n\n", {"type": RESPONSE_TYPE}),
    ),
    "array of more calls than a record may hold": (
        "too_many_events",
        record([LITELLM] * 4097, headers=[]),
    ),
    "negative token count": (
        "int_out_of_range",
        record({"choices": [], "usage": {"prompt_tokens": -1}}, {"type": RESPONSE_TYPE}),
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_is_refused_with_its_reason(kind: str) -> None:
    reason, item = BAD[kind]
    with pytest.raises(PoisonRecord) as caught:
        decode(item)
    assert caught.value.reason == reason


def test_every_reason_that_the_code_gives_is_in_the_table_and_tested() -> None:
    folder = Path(streams.decode.__file__).parent
    given = {
        node.value
        for path in (*folder.glob("*.py"), *folder.with_name("serve").glob("*.py"))
        if path.name != "reasons.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in REASONS
    }
    tested = {reason for reason, _ in BAD.values()}
    others = {"wrong_input_size", "another_format"}  # of serve alone, and of a source's settings
    assert given == set(REASONS) == tested | others


def test_a_reason_says_nothing_of_the_record() -> None:
    with pytest.raises(PoisonRecord) as caught:
        decode(record(event_of(tensor("secret-text", [1], [1]))))
    assert "secret" not in str(caught.value)


DUPLICATES = {
    "beside escapes": b'{"messages":[],"model":"a\\nb","messages":[]}',
    "a colon that is hidden in an escape": b'{"messages":[],"model":"a\\u003Ab","messages":[]}',
    "of an object": b'{"messages":[],"x":{"a":{"b":1},"a":2}}',
    "nested in a list of texts with colons": b'{"messages":[],"x":["a:b",{"c":":","c":":"}]}',
    "empty": b'{"messages":[],"":1,"":1}',
    "beside a number that no decoder takes": b'{"messages":[],"x":1' + b"0" * 5000 + b',"x":1}',
    "in the instances of V1": b'{"instances":[[1]],"instances":[[1]]}',
    "within an instance of V1": b'{"instances":[{"a":1,"a":2}]}',
    "beside instances of V1": b'{"x":{"a":1,"a":2},"instances":[[1]]}',
}


@pytest.mark.parametrize("kind", DUPLICATES)
def test_a_duplicate_key_is_found_wherever_it_hides(kind: str) -> None:
    with pytest.raises(PoisonRecord) as caught:
        decode(record(DUPLICATES[kind], {"type": REQUEST_TYPE}))
    assert caught.value.reason == "duplicate_key"


@pytest.mark.parametrize(
    "text", ['a:b "c": d', "\\", "\u003a", "\n\t:", "::::", '{"a":1,"a":2}', "\ud7ff\U0001f600:"]
)
def test_a_text_that_looks_like_members_is_no_duplicate(text: str) -> None:
    decode(record(json.dumps({**CHAT, "x": text, "y": text}).encode(), {"type": REQUEST_TYPE}))
