"""Each producer as it is on the wire, and the trap that bites there."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from config.errors import PoisonRecord
from config.settings import SourceSettings
from streams.decode import Part
from streams.ingest.join import Joiner
from tests.unit.decode.records import (
    NAMES,
    REQUEST,
    RESPONSE,
    decode,
    record,
    row_of,
    rows_of,
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

KSERVE = "org.kubeflow.serving.inference."
CALLED = {"x-forwarded-for": ["198.51.100.9, 203.0.113.77"], "Authorization": ["Bearer abc"]}


def kserve(
    half: str, body: Any, *, event_id: str = "k1", prefix: str = "ce_", **options: Any
) -> Any:
    """A record as Knative's broker writes what KServe's logger posted."""
    attributes = {
        "specversion": "1.0",
        "type": KSERVE + half,
        "source": "http://localhost:9081/",
        "id": event_id,
        "time": "2026-11-24T01:00:00.5Z",
        "inferenceservicename": "iris",
        "namespace": "prod",
        "component": "predictor",
        "endpoint": "",
        "metadata": json.dumps(CALLED),
    }
    headers = [(prefix + name, value.encode()) for name, value in attributes.items()]
    content_type = options.pop("content_type", "application/json")
    options.setdefault("key", None)
    return record(body, headers=[*headers, ("content-type", content_type.encode())], **options)


def joined(*items: Any) -> list[Any]:
    """What comes out when the records arrive in this order."""
    join = Joiner(timeout_ms=1000, max_pending=100)
    rows = []
    for offset, item in enumerate(items):
        rows += join.add(offset, 0, decode(item))
    return rows


# --- KServe ------------------------------------------------------------------------------------


def test_a_kserve_request_of_v1_instances() -> None:
    body = {"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}
    decoded = decode(kserve("request", body))
    assert decoded is not None
    assert (decoded.part, decoded.event_id) == (Part.REQUEST, "k1")
    first, second = decoded.rows
    assert (first.model, first.operation, first.input_shape) == ("iris", "predict", [4])
    assert np.array_equal(np.frombuffer(first.input, "<f8"), [6.8, 2.8, 4.8, 1.4])
    assert np.array_equal(np.frombuffer(second.input, "<f8"), [6.0, 3.4, 4.5, 1.6])
    assert first.client_net == "203.0.113.0/24"
    assert (first.client, first.key_id) == (
        NAMES.of("client", "Bearer abc"),
        NAMES.of("key", "Bearer abc"),
    )


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [([1, 2], [1, 2]), ([[0.1, 0.9], [0.7, 0.3]], [1, 0]), ([{"scores": [1, 2], "label": 4}], [4])],
)
def test_v1_predictions_are_classes_scores_or_objects(predictions: Any, labels: Any) -> None:
    decoded = decode(kserve("response", {"predictions": predictions}))
    assert decoded is not None
    assert [row.label for row in decoded.rows] == labels


def test_v1_instances_may_be_texts_objects_or_bytes() -> None:
    instances = ["a text", {"a": 1, "b": 2}, {"b64": base64.b64encode(b"\xff\xd8").decode()}]
    decoded = decode(kserve("request", {"instances": instances}))
    assert decoded is not None
    text, features, picture = decoded.rows
    assert text.prompt == "a text"
    assert np.array_equal(np.frombuffer(features.input, "<f8"), [1, 2])
    assert (picture.input, picture.input_dtype) == (b"\xff\xd8", "uint8")


def test_a_response_that_only_comes_on_200_leaves_its_request_as_a_fact() -> None:
    join = Joiner(timeout_ms=1000, max_pending=9)
    assert join.add(0, 0, decode(kserve("request", REQUEST))) == []
    (row,) = join.add(1, 1000, None)
    assert (row.status, row.params) == (None, {"vedette.join": "orphan_request"})
    assert join.counts["orphaned"] == 1


def test_a_response_with_the_requests_content_type_is_told_by_its_body() -> None:
    row = row_of(kserve("response", RESPONSE, content_type="application/octet-stream"))
    assert row.label == 1


def test_a_response_before_its_request_is_joined() -> None:
    (row,) = joined(kserve("response", RESPONSE), kserve("request", REQUEST))
    assert (row.label, row.input_shape) == (1, [4])


def test_the_same_id_is_on_both_halves_of_kserve_and_joins_them() -> None:
    (row,) = joined(kserve("request", REQUEST), kserve("response", RESPONSE))
    assert (row.label, row.params) == (1, None)


def test_the_id_of_seldon_v1_is_unique_per_event_and_the_request_id_joins() -> None:
    def half(kind: str, event_id: str, body: Any) -> Any:
        changes = {
            "type": f"io.seldon.serving.inference.{kind}",
            "specversion": "0.3",
            "id": event_id,
            "requestid": "q7",
        }
        return record(body, changes)

    asked = {"data": {"names": ["a", "b"], "ndarray": [[1.0, 2.0]]}}
    answered = {"data": {"names": ["p0", "p1"], "ndarray": [[0.2, 0.8]]}}
    (row,) = joined(half("request", "e1", asked), half("response", "e2", answered))
    assert np.array_equal(np.frombuffer(row.input, "<f8"), [1, 2])
    assert (row.label, np.frombuffer(row.scores, "<f4").tolist()) == (
        1,
        [np.float32(0.2), np.float32(0.8)],
    )


def test_a_seldon_v1_tensor_and_its_ndarray_are_the_same() -> None:
    changes = {"type": "io.seldon.serving.inference.request", "requestid": "q"}
    nested = {"data": {"ndarray": [[1, 2], [3, 4]]}}
    flat = {"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}
    assert decode(record(nested, changes)) == decode(record(flat, changes))


def stream(*chunks: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + end


def delta(text: str | None, **more: Any) -> Any:
    return {"model": "llama", "choices": [{"index": 0, "delta": {"content": text, **more}}]}


def test_a_stream_as_one_blob_is_one_reassembled_response() -> None:
    chunks = [
        delta("", role="assistant"),
        delta("Hel"),
        delta("lo"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
    ]
    row = row_of(kserve("response", stream(*chunks)))
    assert (row.completion, row.model, row.input_tokens, row.output_tokens) == (
        "Hello",
        "llama",
        9,
        2,
    )


def test_a_stream_without_usage_leaves_the_tokens_unknown() -> None:
    row = row_of(kserve("response", stream(delta("x"))))
    assert (row.input_tokens, row.output_tokens) == (None, None)


def test_a_stream_of_tool_calls_is_put_together_by_index() -> None:
    def call(index: int, **function: str) -> Any:
        return delta(None, tool_calls=[{"index": index, "function": function}])

    chunks = [
        call(0, name="add", arguments=""),
        call(1, name="get", arguments="{}"),
        call(0, arguments='{"a":'),
        call(0, arguments="1}"),
    ]
    assert row_of(kserve("response", stream(*chunks))).completion == 'add {"a":1}\nget {}'


def test_a_stream_that_was_cut_off_keeps_what_came() -> None:
    body = stream(delta("a"), delta("b"), end=b'data: {"choices": [{"del')
    assert row_of(kserve("response", body)).completion == "ab"


def test_line_ends_and_comments_of_a_stream_do_not_matter() -> None:
    body = b": ping\r\n\r\n" + stream(delta("a"), delta("b")).replace(b"\n", b"\r\n")
    assert row_of(kserve("response", body)).completion == "ab"


def test_two_choices_of_a_stream_stay_apart() -> None:
    chunks = [
        {"choices": [{"index": index, "text": text}]}
        for index, text in [(1, "b"), (0, "a"), (1, "d"), (0, "c")]
    ]
    assert row_of(kserve("response", stream(*chunks))).completion == "ac\nbd"


@pytest.mark.parametrize("prefix", ["ce_", "ce-", "Ce-"])
def test_both_spellings_of_the_binding_give_the_same(prefix: str) -> None:
    assert decode(kserve("request", REQUEST, prefix=prefix)) == decode(kserve("request", REQUEST))


def test_metadata_that_cannot_be_read_costs_nothing() -> None:
    item = kserve("request", REQUEST)
    broken = [(name, b"{" if name == "ce_metadata" else value) for name, value in item.headers]
    row = row_of(record(REQUEST, headers=broken, key=b"alice"))
    assert (row.client_net, row.client) == (None, NAMES.of("client", "alice"))


# --- Open Inference Protocol V2 ------------------------------------------------------------------

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


def test_a_text_that_names_the_binary_parameter_is_still_a_text() -> None:
    chat = {"messages": [{"role": "user", "content": "binary_data_size"}]}
    assert row_of(kserve("request", chat)).prompt == "binary_data_size"


def protobuf(half: str, message: bytes, **options: Any) -> Any:
    return kserve(half, message, content_type="application/x-protobuf", **options)


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


# --- Seldon Core 2 and MLServer ------------------------------------------------------------------

INPUTS = "seldon.prod.model.iris.inputs"
OUTPUTS = "seldon.prod.model.iris.outputs"


def seldon(
    topic: str, value: bytes, *, infer_type: str | None = "proto/InferModelRequest", **headers: str
) -> Any:
    named = {"pipeline": "tf", "x-request-id": "xid1", **headers}
    made = [(name.replace("_", "-"), text.encode()) for name, text in named.items()]
    if infer_type is not None:
        made.append(("seldon-infer-type", infer_type.encode()))
    return record(value, headers=made, key=b"3.tf.xid1", topic=topic)


def test_both_topics_of_a_seldon_model_join() -> None:
    output = infer_response([infer_tensor("INT64", [1, 1], name="is_drift")], [b"\x01" + b"\0" * 7])
    asked = seldon(INPUTS, infer_request(), x_forwarded_for="203.0.113.9")
    answered = seldon(OUTPUTS, output, infer_type="proto/InferModelResponse")
    (row,) = joined(asked, answered)
    assert (row.model, row.label, row.input, row.client_net) == (
        "iris",
        1,
        b"\x07",
        "203.0.113.0/24",
    )
    assert row.client == NAMES.of("client", "203.0.113.9")
    for item in (asked, answered):
        decoded = decode(item)
        assert decoded is not None
        assert decoded.scattered


@pytest.mark.parametrize("topic", [INPUTS, "renamed"])
@pytest.mark.parametrize("value", [infer_request(), json.dumps(REQUEST).encode()])
def test_a_missing_infer_type_is_found_out_in_order(topic: str, value: bytes) -> None:
    decoded = decode(seldon(topic, value, infer_type=None))
    assert decoded is not None
    assert decoded.part is Part.REQUEST


def test_the_case_of_the_infer_type_does_not_matter() -> None:
    body = json.dumps(RESPONSE).encode()
    decoded = decode(seldon("renamed", body, infer_type="json/inferModelResponse"))
    assert decoded is not None
    assert decoded.part is Part.RESPONSE


def test_text_in_the_error_topic_is_kept_as_a_failure() -> None:
    asked = seldon("seldon.prod.pipeline.tf.inputs", infer_request())
    failed = seldon(
        "seldon.prod.errors.errors",
        b"rpc error: secret text",
        infer_type=None,
        seldon_pipeline_errors="tokenizer",
    )
    (row,) = joined(asked, failed)
    assert (row.status, row.error) == (500, "tokenizer")


@pytest.mark.parametrize("prefix", [b"\0\0\0\0\x07\x00", b"\0\0\0\0\x07\x04\x02\x00", b""])
def test_a_schema_id_may_be_there_or_silently_absent(prefix: bytes) -> None:
    with_prefix = decode(seldon(INPUTS, prefix + infer_request()))
    assert with_prefix == decode(seldon(INPUTS, infer_request()))


def test_one_id_for_a_whole_batch_is_marked_and_not_joined_one_to_one() -> None:
    outputs = infer_response([infer_tensor("INT64", [3])], [np.array([1, 2, 3]).tobytes()])
    (row,) = joined(
        seldon(INPUTS, infer_request()),
        seldon(OUTPUTS, outputs, infer_type="proto/InferModelResponse"),
    )
    assert (row.label, row.params) == (None, {"vedette.join": "row_mismatch"})


def test_a_seldon_record_without_the_request_id_header_has_it_in_its_key() -> None:
    item = seldon(INPUTS, infer_request())
    headers = [pair for pair in item.headers if pair[0] != "x-request-id"]
    decoded = decode(record(item.value, headers=headers, key=b"3.tf.xid9", topic=INPUTS))
    assert decoded is not None
    assert decoded.event_id == "xid9"


def test_a_record_in_a_topic_of_seldons_needs_no_header_of_its_own() -> None:
    decoded = decode(record(infer_request(), headers=[], key=b"3.tf.xid9", topic=INPUTS))
    assert decoded is not None
    assert (decoded.part, decoded.event_id, decoded.rows[0].model) == (Part.REQUEST, "xid9", "iris")


def test_mlserver_takes_the_model_from_a_header_and_the_id_from_the_key() -> None:
    headers = [("mlserver-model", b"iris"), ("mlserver-version", b"2")]
    asked = record(REQUEST, headers=headers, key=b"call-1", topic="mlserver-input")
    answered = record(RESPONSE, headers=headers, key=b"call-1", topic="mlserver-output")
    (row,) = joined(asked, answered)
    assert (row.model, row.model_version, row.label, row.client) == ("iris", "2", 1, None)


# --- OpenAI and Anthropic ------------------------------------------------------------------------


def test_embeddings_as_floats_and_as_base64_are_one_normal_form() -> None:
    vector = np.array([0.5, -0.25, 0.125], "<f4")

    def params(embedding: Any) -> Any:
        body = {"object": "list", "data": [{"embedding": embedding}]}
        return row_of(kserve("response", body)).params

    packed = params(base64.b64encode(vector.tobytes()).decode())
    assert packed == params(vector.tolist())
    assert (packed["embeddings"], packed["embedding_dimensions"]) == ("1", "3")


def test_the_responses_api_is_told_from_embeddings_by_what_is_asked() -> None:
    message = {"role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    chat = {"model": "gpt", "input": [message], "instructions": "be brief", "store": False}
    row = row_of(kserve("request", chat))
    assert (row.operation, row.prompt, row.params["store"]) == ("chat", "be brief\nhi", "false")
    assert row_of(kserve("request", {"model": "gpt", "input": ["hi"]})).operation == "embedding"


def test_the_responses_api_answers_whole_and_streamed_alike() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}
    call = {"type": "function_call", "name": "add", "arguments": "{}"}
    whole = {
        "object": "response",
        "model": "gpt-5",
        "output": [item, call],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    events = [
        {"type": "response.created", "response": {**whole, "output": [], "usage": None}},
        {"type": "response.output_text.delta", "delta": "hello"},
        {"type": "response.completed", "response": whole},
    ]
    row = row_of(kserve("response", whole))
    assert (row.completion, row.input_tokens, row.output_tokens) == ("hello\nadd\n{}", 3, 2)
    assert row_of(kserve("response", stream(*events, end=b""))) == row
    cut = row_of(kserve("response", stream(*events[:2], end=b"")))
    assert (cut.completion, cut.input_tokens) == ("hello", None)


def test_an_anthropic_message_with_system_blocks_and_tools() -> None:
    body = {
        "model": "claude",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "be brief"}],
        "metadata": {"user_id": "u-1"},
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "name": "add", "input": {"a": 1}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "content": "2"}]},
        ],
        "tools": [{"name": "add"}],
    }
    row = row_of(kserve("request", body))
    assert row.prompt == 'be brief\nhi\nadd\n{"a":1}\n2'
    assert row.params == {"max_tokens": "100", "tools": "1"}


def test_an_anthropic_answer_whole_and_streamed() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 2}
    whole = {
        "type": "message",
        "role": "assistant",
        "model": "claude-4",
        "content": [{"type": "text", "text": "hello"}],
        "usage": usage,
    }
    row = row_of(kserve("response", whole))
    assert (row.completion, row.input_tokens, row.output_tokens) == ("hello", 12, 2)
    events = [
        {
            "type": "message_start",
            "message": {**whole, "content": [], "usage": {**usage, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    named = b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in events
    )
    assert row_of(kserve("response", named)) == row


@pytest.mark.parametrize("member", ["system", "anthropic_version", "stop_sequences"])
def test_a_member_of_another_api_hides_nothing(member: str) -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "logprobs": True,
        "n": 5,
        member: "x",
    }
    row = row_of(kserve("request", body))
    assert "hi" in row.prompt
    assert "{}" in row.prompt
    assert (row.params["logprobs"], row.params["n"]) == ("true", "5")


def test_a_refusal_is_text_too() -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I cannot"}}]}
    assert row_of(kserve("response", body)).completion == "I cannot"


# --- LiteLLM -------------------------------------------------------------------------------------

CALL: dict[str, Any] = {
    "id": "chatcmpl-1",
    "trace_id": "t1",
    "call_type": "acompletion",
    "status": "success",
    "status_fields": {"llm_api_status": "success", "guardrail_status": "success"},
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "startTime": 1_795_482_000.25,
    "endTime": 1_795_482_001.5,
    "response_time": 1.25,
    "model": "gpt-4o-2024-08-06",
    "model_group": "gpt-4o",
    "model_parameters": {"temperature": 0.5, "logprobs": True, "tools": [1]},
    "metadata": {
        "user_api_key_hash": "hash-1",
        "user_api_key_team_id": "team-1",
        "user_api_key_user_id": "alice",
        "requester_ip_address": "203.0.113.77",
    },
    "end_user": "somebody",
    "messages": [{"role": "user", "content": "hi"}],
    "response": {"choices": [{"message": {"content": "hello"}}]},
    "hidden_params": {},
}
FAILED: dict[str, Any] = {
    **CALL,
    "status": "failure",
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "response": None,
    "error_str": "you wrote: secret",
    "error_information": {"error_code": "429", "error_class": "RateLimitError"},
}


def litellm(body: Any) -> Any:
    return record(body, headers=[], key=None)


def test_a_litellm_call_is_a_whole_interaction() -> None:
    row = row_of(litellm(CALL))
    assert (row.client, row.tenant, row.key_id) == (
        NAMES.of("client", "alice"),
        NAMES.of("tenant", "team-1"),
        NAMES.of("key", "hash-1"),
    )
    assert (row.model, row.model_version, row.operation) == ("gpt-4o", CALL["model"], "chat")
    assert (row.prompt, row.completion, row.status) == ("hi", "hello", 200)
    assert (row.time_us, row.latency_us) == (1_795_482_000_250_000, 1_250_000)
    assert (row.input_tokens, row.output_tokens, row.client_net) == (5, 2, "203.0.113.0/24")
    assert row.params == {"temperature": "0.5", "logprobs": "true", "guardrail": "not_scanned"}


def test_a_litellm_failure_keeps_its_class_and_not_its_text() -> None:
    row = row_of(litellm(FAILED))
    assert (row.status, row.error) == (429, "RateLimitError")
    assert (row.input_tokens, row.output_tokens, row.completion) == (None, None, None)
    assert row.prompt == "hi"


@pytest.mark.parametrize("form", ["array", "ndjson", "single"])
def test_litellm_posts_an_array_lines_or_a_single_object(form: str) -> None:
    calls = [CALL, FAILED] if form != "single" else [CALL]
    if form == "ndjson":
        body: Any = b"\n".join(json.dumps(call).encode() for call in calls)
    else:
        body = calls if form == "array" else calls[0]
    decoded = decode(litellm(body))
    assert decoded is not None
    assert decoded.part is Part.COMPLETE
    rows = rows_of(decoded)
    assert [row.id for row in rows] == [f"events-2-7-{n}" for n in range(len(calls))]
    assert [row.status for row in rows] == [200, 429][: len(calls)]


@pytest.mark.parametrize("missing", sorted(set(CALL) - {"call_type", "model_group", "startTime"}))
def test_every_litellm_field_may_be_missing(missing: str) -> None:
    body = {name: value for name, value in CALL.items() if name != missing}
    assert row_of(litellm(body)).model is not None


@pytest.mark.parametrize("name", sorted(CALL))
def test_a_litellm_field_of_another_type_counts_as_missing(name: str) -> None:
    for strange in (["x"], {"x": 1}, True):
        assert decode(litellm({**CALL, name: strange})) is not None


def test_a_guardrail_that_did_not_scan_is_told_from_one_that_passed() -> None:
    def guardrail(**fields: Any) -> str:
        text: str = row_of(litellm({**CALL, **fields})).params["guardrail"]
        return text

    told = [{"guardrail_name": "g", "guardrail_status": "success"}]
    assert guardrail() == "not_scanned"
    assert guardrail(guardrail_information=told) == "success"
    stopped = [*told, {"guardrail_status": "guardrail_intervened"}]
    assert guardrail(guardrail_information=stopped) == "guardrail_intervened"


# --- Envoy and OpenTelemetry ---------------------------------------------------------------------

LINE: dict[str, Any] = {
    "gen_ai.request.model": "llama",
    "gen_ai.response.model": "llama-3-8b",
    "gen_ai.usage.input_tokens": "25",
    "gen_ai.usage.output_tokens": 7,
    "start_time": "2026-11-24T01:00:00.500Z",
    "method": "POST",
    "x-envoy-origin-path": "/v1/chat/completions?key=secret",
    "response_code": 200,
    "response_flags": "-",
    "duration": 1234,
    "user-agent": "curl/8",
    "x-request-id": "r-1",
    "x-forwarded-for": "203.0.113.77",
    "upstream_host": "10.0.0.1:443",
    "mcp.tool.name": None,
}


def test_a_line_of_envoys_access_log_is_a_call_without_texts() -> None:
    row = row_of(record(LINE, headers=[], key=None))
    assert (row.model, row.model_version, row.operation) == ("llama", "llama-3-8b", "chat")
    assert (row.status, row.error, row.latency_us) == (200, None, 1_234_000)
    assert (row.input_tokens, row.output_tokens) == (25, 7)
    assert (row.endpoint, row.client_net) == ("/v1/chat/completions", "203.0.113.0/24")
    assert (row.prompt, row.input_hash) == (None, None)


def test_a_caller_who_hung_up_has_no_status() -> None:
    row = row_of(record({**LINE, "response_code": 0, "response_flags": "DC"}, headers=[]))
    assert (row.status, row.error) == (500, "DC")


def attribute(key: str, **value: Any) -> Any:
    return {"key": key, "value": value}


def otlp(*attributes: Any, **span: Any) -> Any:
    made = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "startTimeUnixNano": "1795482000250000000",
        "endTimeUnixNano": "1795482001500000000",
        "attributes": list(attributes),
        **span,
    }
    resource = {"attributes": [attribute("service.name", stringValue="bot")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [made]}]}]}


GENAI = (
    attribute("gen_ai.operation.name", stringValue="chat"),
    attribute("gen_ai.request.model", stringValue="gpt-4o"),
    attribute("gen_ai.request.temperature", doubleValue=0.5),
    attribute("gen_ai.usage.input_tokens", intValue="12"),
    attribute("user.id", stringValue="alice"),
    attribute(
        "gen_ai.input.messages",
        stringValue='[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
    ),
    attribute(
        "gen_ai.output.messages",
        stringValue='[{"role":"assistant","parts":[{"type":"text","content":"hello"}]}]',
    ),
)


def test_a_genai_span_is_a_whole_call() -> None:
    row = row_of(record(otlp(*GENAI), headers=[], key=None))
    assert (row.model, row.operation, row.client) == ("gpt-4o", "chat", NAMES.of("client", "alice"))
    assert (row.prompt, row.completion, row.status) == ("hi", "hello", 200)
    assert (row.time_us, row.latency_us) == (1_795_482_000_250_000, 1_250_000)
    assert (row.input_tokens, row.output_tokens) == (12, None)
    assert row.trace == "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"
    assert row.params == {"temperature": "0.5"}


def test_an_openinference_span_is_read_in_the_order_of_its_messages() -> None:
    numbered = [
        attribute(f"llm.input_messages.{n}.message.content", stringValue=f"m{n}")
        for n in (10, 2, 0)
    ]
    body = otlp(
        attribute("openinference.span.kind", stringValue="LLM"),
        attribute("llm.model_name", stringValue="m"),
        attribute("llm.output_messages.0.message.content", stringValue="out"),
        attribute("llm.token_count.prompt", intValue=3),
        *numbered,
    )
    row = row_of(record(body, headers=[], key=None))
    assert (row.prompt, row.completion, row.input_tokens) == ("m0\nm2\nm10", "out", 3)


def test_a_failed_span_is_a_failed_call() -> None:
    error = attribute("error.type", stringValue="rate_limit")
    body = otlp(*GENAI, error, status={"code": 2, "message": "you wrote: secret"})
    row = row_of(record(body, headers=[], key=None))
    assert (row.status, row.error) == (500, "rate_limit")


def test_spans_of_anything_else_bring_nothing() -> None:
    body = otlp(attribute("gen_ai.operation.name", stringValue="execute_tool"))
    assert decode(record(body, headers=[], key=None)) is None
    assert decode(record(otlp(), headers=[], key=None)) is None


def proto_attribute(key: str, value: bytes) -> bytes:
    return field(9, field(1, key) + field(2, value))


def test_otlp_protobuf_and_json_give_the_same() -> None:
    texts = {name["key"]: name["value"].get("stringValue") for name in GENAI}
    span = (
        field(1, bytes.fromhex("5b8efff798038103d269b633813fc60c"))
        + field(2, bytes.fromhex("eee19b7ec3c1b174"))
        + fixed(7, "<Q", 1_795_482_000_250_000_000)
        + fixed(8, "<Q", 1_795_482_001_500_000_000)
        + b"".join(proto_attribute(key, field(1, text)) for key, text in texts.items() if text)
        + proto_attribute("gen_ai.request.temperature", fixed(4, "<d", 0.5))
        + proto_attribute("gen_ai.usage.input_tokens", field(3, 12))
    )
    resource = field(1, field(1, "service.name") + field(2, field(1, "bot")))
    value = field(1, field(1, resource) + field(2, field(2, span)))
    assert decode(record(value, headers=[], key=None)) == decode(
        record(otlp(*GENAI), headers=[], key=None)
    )


# --- bare bodies ---------------------------------------------------------------------------------


def test_bare_halves_join_by_a_header() -> None:
    headers = [("x-request-id", b"r7"), ("x-api-key", b"alice")]
    asked = record({"model": "m", "messages": []}, headers=headers, key=None)
    answered = record({"choices": []}, headers=headers[:1], key=None)
    (row,) = joined(asked, answered)
    assert (row.client, row.status) == (NAMES.of("client", "alice"), 200)


def test_bare_v2_halves_join_by_the_bodys_id() -> None:
    (row,) = joined(record(REQUEST, headers=[]), record(RESPONSE, headers=[]))
    assert (row.label, row.client) == (1, NAMES.of("client", "alice"))


def test_a_bare_half_that_nothing_joins_stands_alone_and_says_so() -> None:
    decoded = decode(record({"model": "m", "messages": []}, headers=[]))
    assert decoded is not None
    assert decoded.part is Part.COMPLETE
    assert decoded.rows[0].params == {"vedette.join": "unjoinable"}


# --- what a source is set to ---------------------------------------------------------------------


def of_source(item: Any, **settings: Any) -> Any:
    return row_of(item, sources={"events": SourceSettings(**settings)})


def test_a_source_that_is_set_to_a_format_takes_no_other() -> None:
    assert of_source(litellm(CALL), format="litellm").model == "gpt-4o"
    with pytest.raises(PoisonRecord, match="another_format"):
        of_source(litellm(CALL), format="envoy")


def test_rules_say_where_the_caller_stands() -> None:
    item = record(
        {**REQUEST, "who": {"name": ["bob"]}},
        {"type": KSERVE + "request", "client": None, "keyid": None, "clientip": None},
        key=b"key-7",
    )
    item = record(item.value, headers=[*item.headers, ("X-Team", b"blue")], key=b"key-7")

    def found(**rules: Any) -> Any:
        row = of_source(item, **rules)
        return row.client, row.tenant

    team = NAMES.of("tenant", "blue")
    bob = NAMES.of("client", "bob")
    assert found(client=["body:who.name"], tenant=["header:x-team"]) == (bob, team)
    missing = ["header:nobody", "body:who.nobody", "body:who.name"]
    assert found(client=missing)[0] == bob
    assert found(client=["key"])[0] == NAMES.of("client", "key-7")
    assert found(client=["attribute:source"])[0] == NAMES.of("client", "http://gateway/1")


@pytest.mark.parametrize(
    ("hops", "network"), [(0, "10.0.0.0/24"), (1, "203.0.113.0/24"), (2, "198.51.100.0/24")]
)
def test_only_what_trusted_hops_wrote_is_believed(hops: int, network: str) -> None:
    headers = [
        ("x-request-id", b"1"),
        ("x-forwarded-for", b"198.51.100.9, 203.0.113.77:4711, 10.0.0.1"),
    ]
    row = of_source(
        record(REQUEST, headers=headers), network=["header:x-forwarded-for"], trusted_hops=hops
    )
    assert row.client_net == network


def test_a_source_names_the_model_that_bodies_do_not() -> None:
    assert of_source(record(REQUEST, headers=[]), model="digits").model == "digits"
    assert of_source(litellm(CALL), model="digits").model == "gpt-4o"


def test_who_does_not_say_who_called_is_kept_or_refused() -> None:
    item = record(REQUEST, headers=[("x-request-id", b"1")], key=None)
    assert of_source(item).client is None
    with pytest.raises(PoisonRecord, match="missing_client"):
        of_source(item, anonymous="refuse")


def test_a_shared_source_marks_its_halves_as_scattered() -> None:
    sources = {"events": SourceSettings(join="shared")}
    decoded = decode(kserve("request", REQUEST), sources=sources)
    assert decoded is not None
    assert decoded.scattered
