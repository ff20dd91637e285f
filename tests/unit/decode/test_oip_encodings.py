"""The protocol's binary extension and its protobuf messages, and the traps of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from config.errors import PoisonRecord
from config.settings import IngestSettings
from streams.decode.body import Limits
from streams.decode.oip_binary import OipBinaryDecoder
from tests.unit.decode.producers import (
    kserve,
    protobuf,
)
from tests.unit.decode.records import (
    REQUEST,
    decode,
    record,
    row_of,
)
from tests.unit.decode.wire import (
    binary_body,
    field,
    fixed,
    infer_request,
    infer_response,
    infer_tensor,
    varint,
)

PIXELS = bytes([0, 255, 7, 8])


@pytest.mark.parametrize("told", [True, False])
def test_binary_tensors_are_read_with_and_without_the_length_header(told: bool) -> None:
    body = binary_body(4)
    length = str(len(body) - 4).encode()
    headers = list(kserve("request", b"").headers)
    if told:
        headers.append(("Inference-Header-Content-Length", length))
    row = row_of(record(body, headers=headers))
    assert (row.input, row.input_shape, row.input_dtype) == (PIXELS, [4], "uint8")


@pytest.mark.parametrize("length", [1, 10, 9_999])
def test_a_binary_header_length_that_is_wrong_is_poison(length: int) -> None:
    headers = [
        *kserve("request", b"").headers,
        ("inference-header-content-length", str(length).encode()),
    ]
    with pytest.raises(PoisonRecord):
        decode(record(binary_body(4), headers=headers))


@pytest.mark.parametrize("size", [-1, 0, 3, 5, 1 << 40])
def test_a_binary_size_that_is_not_the_datas_is_poison(size: int) -> None:
    with pytest.raises(PoisonRecord, match=r"bad_binary_length|shape_mismatch"):
        decode(kserve("request", binary_body(size)))


def test_bytes_that_look_like_the_json_before_them_are_still_bytes() -> None:
    data = b'"binary_data_size":7}]}'
    row = row_of(kserve("request", binary_body(len(data), data, shape=[1, len(data)])))
    assert row.input == data


def test_calls_with_the_same_json_keep_their_own_bytes_and_memory_is_bounded() -> None:
    decoder = OipBinaryDecoder(Limits.of(IngestSettings()))
    for number in range(3000):
        data = number.to_bytes(4, "little")
        for name in ("x", f"x{number}"):
            (row,) = decoder.request(binary_body(4, data, name=name), None).rows
            assert row.input == data
    assert len(decoder._requests._known) <= 1024


def test_a_text_that_names_the_binary_parameter_is_still_a_text() -> None:
    chat = {"messages": [{"role": "user", "content": "binary_data_size"}]}
    assert row_of(kserve("request", chat)).prompt == "binary_data_size"


@pytest.mark.parametrize(
    ("datatype", "number", "coded", "dtype", "values"),
    [
        ("BOOL", 1, b"\x01\x00", "bool", [True, False]),
        ("INT8", 2, varint(-128) + varint(127), "int8", [-128, 127]),
        ("INT16", 2, varint(-3) + varint(300), "int16", [-3, 300]),
        ("INT32", 2, varint(-(2**31)) + varint(2**31 - 1), "int32", [-(2**31), 2**31 - 1]),
        ("INT64", 3, varint(-(2**63)) + varint(2**63 - 1), "int64", [-(2**63), 2**63 - 1]),
        ("UINT8", 4, varint(0) + varint(255), "uint8", [0, 255]),
        ("UINT16", 4, varint(1) + varint(65535), "uint16", [1, 65535]),
        ("UINT32", 4, varint(1) + varint(2**32 - 1), "uint32", [1, 2**32 - 1]),
        ("UINT64", 5, varint(1) + varint(2**64 - 1), "uint64", [1, 2**64 - 1]),
        ("FP32", 6, np.array([0.5, -2], "<f4").tobytes(), "float32", [0.5, -2]),
        ("FP64", 7, np.array([0.1, 1e300], "<f8").tobytes(), "float64", [0.1, 1e300]),
    ],
)
def test_every_datatype_of_typed_contents(
    datatype: str, number: int, coded: bytes, dtype: str, values: list[Any]
) -> None:
    tensor = infer_tensor(datatype, [1, 2], field(number, coded))
    row = row_of(protobuf("request", infer_request([tensor])))
    assert row.input_dtype == dtype
    assert np.array_equal(np.frombuffer(row.input, dtype), np.array(values, dtype))


@pytest.mark.parametrize(
    ("datatype", "raw", "dtype", "values"),
    [
        ("FP16", np.array([0.5, -2], "<f2").tobytes(), "float16", [0.5, -2]),
        ("BF16", np.array([0x3FC0, 0xC000], "<u2").tobytes(), "float32", [1.5, -2]),
        ("FP32", np.array([0.5, -2], "<f4").tobytes(), "float32", [0.5, -2]),
        ("INT64", np.array([1, -2], "<i8").tobytes(), "int64", [1, -2]),
    ],
)
def test_raw_contents_keep_their_values(
    datatype: str, raw: bytes, dtype: str, values: list[Any]
) -> None:
    row = row_of(protobuf("request", infer_request([infer_tensor(datatype, [1, 2])], [raw])))
    assert (row.input_dtype, np.frombuffer(row.input, dtype).tolist()) == (dtype, values)


def test_numbers_that_are_not_packed_are_read_too() -> None:
    contents = field(4, 1) + field(4, 2)
    row = row_of(protobuf("request", infer_request([infer_tensor("UINT8", [1, 2], contents)])))
    assert row.input == b"\x01\x02"
    floats = fixed(6, "<f", 0.5) + fixed(6, "<f", 1.5)
    row = row_of(protobuf("request", infer_request([infer_tensor("FP32", [1, 2], floats)])))
    assert np.frombuffer(row.input, "<f4").tolist() == [0.5, 1.5]


@pytest.mark.parametrize("raw", [True, False])
def test_bytes_tensors_are_texts_and_pictures(raw: bool) -> None:
    parts = [b"hello", b"\xff\xd8\xff"]
    if raw:
        data = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        message = infer_request([infer_tensor("BYTES", [2])], [data])
    else:
        contents = b"".join(field(8, part) for part in parts)
        message = infer_request([infer_tensor("BYTES", [2], contents)])
    decoded = decode(protobuf("request", message))
    assert decoded is not None
    text, picture = decoded.rows
    assert (text.prompt, picture.input, picture.prompt) == ("hello", b"\xff\xd8\xff", None)


BROKEN = {
    "raw and typed together": infer_request(raw=[b"\x01"], typed=True),
    "FP16 as typed contents": infer_request([infer_tensor("FP16", [1], field(6, b"\0" * 4))]),
    "BYTES length beyond the buffer": infer_request(
        [infer_tensor("BYTES", [1])], [b"\xff\xff\xff\x7fabc"]
    ),
    "BYTES with something behind": infer_request([infer_tensor("BYTES", [1])], [b"\x01\0\0\0ab"]),
    "fewer raw contents than tensors": infer_request(
        [infer_tensor("UINT8", [1]), infer_tensor("UINT8", [1])], [b"\x01"]
    ),
    "raw contents shorter than the shape": infer_request([infer_tensor("FP32", [2])], [b"\0" * 4]),
    "contents of another type": infer_request([infer_tensor("UINT8", [1], field(6, b"\0" * 4))]),
    "a value beyond its datatype": infer_request(
        [infer_tensor("INT8", [1], field(2, varint(128)))]
    ),
    "NaN": infer_request([infer_tensor("FP32", [1])], [np.array([np.nan], "<f4").tobytes()]),
    "a length beyond the message": b"\x0a\xff\xff\xff\xff\x0f",
    "a varint without end": b"\x0a" + b"\xff" * 11,
    "a group": b"\x0b\x0c",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_protobuf_is_poison_and_never_read_past_its_end(kind: str) -> None:
    with pytest.raises(PoisonRecord):
        decode(protobuf("request", BROKEN[kind]))


def test_a_protobuf_response_gives_scores_label_and_version() -> None:
    outputs = [
        infer_tensor("FP32", [1, 2], name="probabilities"),
        infer_tensor("INT64", [1], name="label"),
    ]
    raw = [np.array([0.25, 0.75], "<f4").tobytes(), np.array([1], "<i8").tobytes()]
    row = row_of(protobuf("response", infer_response(outputs, raw)))
    assert (row.label, row.model_version) == (1, "3")
    assert np.frombuffer(row.scores, "<f4").tolist() == [0.25, 0.75]


def test_json_binary_and_protobuf_give_the_same_row() -> None:
    as_json = row_of(kserve("request", REQUEST))
    as_binary = row_of(kserve("request", binary_body(4)))
    message = infer_request([infer_tensor("UINT8", [1, 4])], [PIXELS])
    as_protobuf = row_of(protobuf("request", message))
    as_protobuf.model = as_json.model
    assert as_json == as_binary == as_protobuf
