"""Whatever the producers' formats are bent into, decoding gives rows or a reason, and soon."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.decode.producers import (
    CALL,
    GENAI,
    INPUTS,
    LINE,
    delta,
    kserve,
    otlp,
    protobuf,
    seldon,
    stream,
)
from tests.unit.decode.records import REQUEST, record
from tests.unit.decode.test_fuzz import outcome
from tests.unit.decode.wire import binary_body, field, infer_request, infer_response, infer_tensor

ANTHROPIC = {
    "model": "m",
    "system": "s",
    "messages": [{"role": "user", "content": [{"text": "t"}]}],
}
RESPONSES = {"model": "m", "input": [{"role": "user", "content": "hi"}], "instructions": "i"}
V1 = {"instances": [[1, 2], {"a": 1}, "t"]}
SELDON_V1 = {"data": {"names": ["a"], "ndarray": [[1]]}}
DOCUMENTS: list[Any] = [
    CALL, LINE, otlp(*GENAI), ANTHROPIC, RESPONSES, V1, SELDON_V1, REQUEST, [CALL, CALL],
]  # fmt: skip
OTLP_SPAN = field(
    1, field(2, field(2, field(9, field(1, "gen_ai.system") + field(2, field(1, "x")))))
)
MESSAGES = [
    infer_request(),
    infer_request([infer_tensor("BYTES", [1])], [b"\x01\0\0\0a"]),
    infer_response([infer_tensor("FP32", [1], field(6, b"\0\0\0\0"))]),
    OTLP_SPAN,
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
strange = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars)


def bent(document: Any, data: st.DataObject) -> Any:
    """The document with one value, at any depth, replaced by something strange."""
    if isinstance(document, dict) and document and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(document)))
        return {**document, name: bent(document[name], data)}
    if isinstance(document, list) and document and data.draw(st.integers(0, 3)):
        place = data.draw(st.integers(0, len(document) - 1))
        return [*document[:place], bent(document[place], data), *document[place + 1 :]]
    return data.draw(strange)


@settings(max_examples=300)
@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_bent_document(document: Any, data: st.DataObject) -> None:
    body = bent(document, data)
    outcome(record(body, headers=[]))
    outcome(kserve("request", body))
    outcome(kserve("response", body))


@settings(max_examples=150)
@given(st.sampled_from(MESSAGES), st.data())
def test_a_damaged_protobuf(message: bytes, data: st.DataObject) -> None:
    bytes_ = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(bytes_) - 1))
        cut = data.draw(st.integers(0, 3))
        bytes_[position : position + cut] = data.draw(st.binary(max_size=3))
        bytes_ = bytes_ or bytearray(b"\0")
    value = bytes(bytes_)
    outcome(protobuf("request", value))
    outcome(protobuf("response", value))
    outcome(seldon(INPUTS, value))
    outcome(seldon("renamed", value, infer_type=None))
    outcome(record(value, headers=[]))


@given(st.binary(max_size=200))
def test_any_protobuf(value: bytes) -> None:
    outcome(protobuf("request", value))
    outcome(record(b"\x0a" + value, headers=[]))


@given(st.data())
def test_a_damaged_binary_body(data: st.DataObject) -> None:
    body = bytearray(binary_body(data.draw(st.integers(-2, 9))))
    position = data.draw(st.integers(0, len(body)))
    body[position:position] = data.draw(st.binary(max_size=4))
    outcome(kserve("request", bytes(body)))


@given(st.data())
def test_a_damaged_stream(data: st.DataObject) -> None:
    body = bytearray(stream(delta("a"), delta("b")))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 9))
        body[position : position + cut] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"\n\n", b"data: ", b"{}", b"[]", b","])
        )
    outcome(kserve("response", bytes(body)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["pipeline", "seldon-infer-type", "x-request-id", "mlserver-model",
                 "seldon-pipeline-errors", "x-forwarded-for", "ce_metadata", "ce_type"]
            ),
            st.binary(max_size=30),
        ),
        max_size=6,
    ),
    st.binary(max_size=20),
)  # fmt: skip
def test_any_headers_of_producers(headers: list[tuple[str, bytes]], key: bytes) -> None:
    outcome(record(REQUEST, headers=headers, key=key))
    outcome(record(b"text", headers=headers, key=key, topic="seldon.prod.errors.errors"))


MEGABYTE = 1 << 20
DEEP = 100_000
PACKED = infer_tensor("INT64", [3 * MEGABYTE], field(3, b"\1" * 3 * MEGABYTE))
PAIRS = infer_tensor("INT64", [3 * MEGABYTE // 2], field(3, b"\x81\1" * (3 * MEGABYTE // 2)))
HOSTILE: dict[str, Any] = {
    "protobuf of two million fields": protobuf("request", b"\x50\x01" * 2 * MEGABYTE),
    "protobuf of a million tensors": protobuf("request", b"\x2a\x00" * MEGABYTE),
    "packed varints, many times as large unpacked": protobuf("request", infer_request([PACKED])),
    "packed varints of two bytes": protobuf("request", infer_request([PAIRS])),
    "shape of more elements than there is memory": protobuf(
        "request", infer_request([infer_tensor("FP64", [1 << 40, 1 << 40])], [b"\0" * 8])
    ),
    "a million empty texts": protobuf(
        "request", infer_request([infer_tensor("BYTES", [MEGABYTE])], [b"\0" * 4 * MEGABYTE])
    ),
    "stream of a hundred thousand chunks": kserve("response", b"data: {}\n\n" * 100_000),
    "stream of one chunk in a million lines": kserve("response", b"data:\n" * (MEGABYTE // 2)),
    "content nested deeply": kserve(
        "request",
        b'{"model":"m","system":"s","messages":[{"content":' + b"[" * DEEP + b"]" * DEEP + b"}]}",
    ),
    "array of a million calls": record(b"[" + b"{}," * MEGABYTE + b"{}]", headers=[]),
    "a million lines": record(b'{"call_type":1}\n' * (MEGABYTE // 5), headers=[]),
    "integer of a million digits": kserve("request", b'{"instances":[' + b"9" * MEGABYTE + b"]}"),
    "binary size of astronomic length": kserve("request", binary_body(10**30)),
    "metadata of a megabyte": record(
        REQUEST, headers=[*kserve("request", b"").headers, ("ce-metadata", b"{" * MEGABYTE)]
    ),
    "attributes nested deeply": record(
        otlp({"key": "gen_ai.operation.name", "value": {"arrayValue": {"values": []}}}), headers=[]
    ),
    "body of ten megabytes": kserve("request", b"[" * 10 * MEGABYTE),
}


def peak_bytes() -> int:
    """The most memory that this process has held since it was last forgotten."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets peaks")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_record_takes_bounded_time_and_memory(kind: str) -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_bytes, began_s = peak_bytes(), time.process_time()
    outcome(HOSTILE[kind])
    assert time.process_time() - began_s < 3.0
    assert peak_bytes() - before_bytes < 192 << 20


def test_nested_attributes_of_otlp_protobuf_are_bounded() -> None:
    value = field(1, "deep")
    for _ in range(2000):
        value = field(5, field(1, value))
    attribute = field(9, field(1, "gen_ai.input.messages") + field(2, value))
    name = field(9, field(1, "gen_ai.operation.name") + field(2, field(1, "chat")))
    outcome(record(field(1, field(2, field(2, name + attribute))), headers=[]))


def test_documents_are_what_they_should_be_unbent() -> None:
    for document in DOCUMENTS:
        assert outcome(record(json.dumps(document).encode(), headers=[])) is not None
