"""What the producers' own libraries write, our decoders read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decode import Part
from tests.unit.decode.producers import CALL, kserve, protobuf
from tests.unit.decode.records import REQUEST, REQUEST_TYPE, decode, record, row_of

DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def array_of(datatype: str) -> Any:
    return np.array([[0, 1, 1], [1, 0, 1]]).astype(DTYPES[datatype])


# --- tritonclient --------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", DTYPES)
def test_tritons_http_client_writes_json_and_binary_tensors(datatype: str, binary: bool) -> None:
    triton = pytest.importorskip("tritonclient.http")
    values = array_of(datatype)
    tensor = triton.InferInput("x", list(values.shape), datatype)
    # the client writes FP16 only as binary data
    tensor.set_data_from_numpy(values, binary_data=binary or datatype == "FP16")
    body, _ = triton.InferenceServerClient.generate_request_body([tensor])
    decoded = decode(kserve("request", bytes(body)))
    assert decoded is not None
    rows = [np.frombuffer(row.input, row.input_dtype) for row in decoded.rows]
    assert np.array_equal(np.stack(rows), values)
    assert decoded.rows[0].input_dtype == np.dtype(DTYPES[datatype]).name


def test_tritons_http_client_writes_texts() -> None:
    triton = pytest.importorskip("tritonclient.http")
    tensor = triton.InferInput("x", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([b"hello", "w\u00f6rld".encode()], np.object_))
    body, length = triton.InferenceServerClient.generate_request_body([tensor])
    headers = [
        *kserve("request", b"").headers,
        ("Inference-Header-Content-Length", str(length).encode()),
    ]
    decoded = decode(record(bytes(body), headers=headers))
    assert decoded is not None
    assert [row.prompt for row in decoded.rows] == ["hello", "w\u00f6rld"]


@pytest.mark.parametrize("datatype", DTYPES)
def test_tritons_grpc_client_writes_raw_contents(datatype: str) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    values = array_of(datatype)
    tensor = triton.InferInput("x", list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    message = triton.service_pb2.ModelInferRequest(
        model_name="digits",
        id="r1",
        inputs=[tensor._get_tensor()],
        raw_input_contents=[tensor._get_content()],
    )
    decoded = decode(protobuf("request", message.SerializeToString()))
    assert decoded is not None
    rows = [np.frombuffer(row.input, row.input_dtype) for row in decoded.rows]
    assert np.array_equal(np.stack(rows), values)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
)
def test_typed_contents_of_the_protobuf_library(whole: list[int], real: list[float]) -> None:
    pb2 = pytest.importorskip("tritonclient.grpc").service_pb2
    tensor = pb2.ModelInferRequest.InferInputTensor
    contents = pb2.InferTensorContents
    for made, dtype, values in (
        (tensor(name="x", datatype="INT32", shape=[1, len(whole)],
                contents=contents(int_contents=whole)), "int32", whole),
        (tensor(name="x", datatype="FP32", shape=[1, len(real)],
                contents=contents(fp32_contents=real)), "float32", real),
    ):  # fmt: skip
        message = pb2.ModelInferRequest(model_name="digits", inputs=[made])
        row = row_of(protobuf("request", message.SerializeToString()))
        assert np.frombuffer(row.input, dtype).tolist() == np.array(values, dtype).tolist()


def test_a_response_of_the_protobuf_library() -> None:
    pb2 = pytest.importorskip("tritonclient.grpc").service_pb2
    output = pb2.ModelInferResponse.InferOutputTensor
    contents = pb2.InferTensorContents
    message = pb2.ModelInferResponse(
        model_name="digits",
        model_version="3",
        outputs=[
            output(name="scores", datatype="FP32", shape=[1, 2],
                   contents=contents(fp32_contents=[0.25, 0.75])),
            output(name="label", datatype="INT64", shape=[1],
                   contents=contents(int64_contents=[1])),
        ],
    )  # fmt: skip
    message.parameters["x"].string_param = "ignored"
    row = row_of(protobuf("response", message.SerializeToString()))
    assert (row.label, np.frombuffer(row.scores, "<f4").tolist()) == (1, [0.25, 0.75])


# --- cloudevents ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_the_cloudevents_library_writes_both_modes(mode: str) -> None:
    kafka = pytest.importorskip("cloudevents.core.bindings.kafka")
    event_module = pytest.importorskip("cloudevents.core.v1.event")
    formats = pytest.importorskip("cloudevents.core.formats.json")
    attributes = {
        "id": "k1",
        "source": "http://localhost:9081/",
        "type": "org.kubeflow.serving.inference.request",
        "specversion": "1.0",
        "time": datetime(2026, 11, 24, 1, 0, tzinfo=UTC),
        "datacontenttype": "application/json",
        "inferenceservicename": "iris",
        "client": "J\u00fcrgen",
    }
    event = event_module.CloudEvent(attributes, REQUEST)
    write = kafka.to_binary if mode == "binary" else kafka.to_structured
    message = write(event, formats.JSONFormat())
    headers = [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in message.headers.items()
    ]
    decoded = decode(record(message.value, headers=headers, key=None))
    assert decoded is not None
    assert (decoded.part, decoded.event_id) == (Part.REQUEST, "k1")
    assert decoded.rows[0].input == bytes(REQUEST["inputs"][0]["data"])
    assert decoded.rows[0].time_us == 1_795_482_000_000_000


# --- openai and anthropic ------------------------------------------------------------------------


def test_openais_types_are_read_whole_and_streamed() -> None:
    chat = pytest.importorskip("openai.types.chat")
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    head = {"id": "c1", "created": 1, "model": "gpt-4o"}
    whole = chat.ChatCompletion.model_validate(
        {**head, "object": "chat.completion", "usage": usage, "choices": [
            {"index": 0, "finish_reason": "stop", "logprobs": None,
             "message": {"role": "assistant", "content": "hello", "refusal": None}}]}
    )  # fmt: skip
    row = row_of(kserve("response", whole.model_dump_json().encode()))
    assert (row.completion, row.model, row.input_tokens) == ("hello", "gpt-4o", 3)
    chunks = [
        chat.ChatCompletionChunk.model_validate(
            {**head, "object": "chat.completion.chunk", "usage": counts,
             "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        )
        for text, counts in (("hel", None), ("lo", usage))
    ]  # fmt: skip
    blob = b"".join(b"data: %b\n\n" % chunk.model_dump_json().encode() for chunk in chunks)
    assert row_of(kserve("response", blob + b"data: [DONE]\n\n")) == row


def test_openais_embeddings_and_responses_are_read() -> None:
    types = pytest.importorskip("openai.types")
    responses = pytest.importorskip("openai.types.responses")
    made = types.CreateEmbeddingResponse.model_validate(
        {"object": "list", "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3},
         "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]}
    )  # fmt: skip
    row = row_of(kserve("response", made.model_dump_json().encode()))
    assert (row.params["embedding_dimensions"], row.input_tokens) == ("2", 3)
    answer = responses.Response.model_validate(
        {"id": "r", "object": "response", "created_at": 1, "model": "gpt-5", "status": "completed",
         "parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "output": [
             {"id": "m", "type": "message", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": "hello", "annotations": []}]}]}
    )  # fmt: skip
    row = row_of(kserve("response", answer.model_dump_json().encode()))
    assert (row.completion, row.model) == ("hello", "gpt-5")


def test_anthropics_message_is_read() -> None:
    anthropic = pytest.importorskip("anthropic.types")
    message = anthropic.Message.model_validate(
        {"id": "m", "type": "message", "role": "assistant", "model": "claude",
         "content": [{"type": "text", "text": "hello", "citations": None},
                     {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}}],
         "stop_reason": "tool_use", "stop_sequence": None,
         "usage": {"input_tokens": 5, "output_tokens": 2}}
    )  # fmt: skip
    row = row_of(kserve("response", message.model_dump_json().encode()))
    assert row.completion == 'hello\nadd\n{"a":1}'
    assert (row.input_tokens, row.output_tokens) == (5, 2)


# --- litellm -------------------------------------------------------------------------------------


def test_every_field_of_litellms_own_type_is_taken_or_left_alone() -> None:
    litellm = pytest.importorskip(
        "litellm.types.utils",
        reason="litellm brings 60 packages, 281 MB, and fetches prices when it is imported",
    )
    names = litellm.StandardLoggingPayload.__annotations__
    assert set(CALL) <= set(names) | {"user_agent"}
    who = litellm.StandardLoggingMetadata.__annotations__
    assert {"user_api_key_hash", "user_api_key_user_id", "user_api_key_team_id"} <= set(who)
    payload = {**dict.fromkeys(names), **CALL}
    assert row_of(record(payload, headers=[], key=None)) == row_of(
        record(CALL, headers=[], key=None)
    )


# --- opentelemetry -------------------------------------------------------------------------------


def test_opentelemetrys_messages_are_read_in_both_encodings() -> None:
    trace = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    common = pytest.importorskip("opentelemetry.proto.common.v1.common_pb2")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")

    def attribute(key: str, **value: Any) -> Any:
        return common.KeyValue(key=key, value=common.AnyValue(**value))

    messages = common.ArrayValue(values=[
        common.AnyValue(kvlist_value=common.KeyValueList(values=[
            attribute("role", string_value="user"), attribute("content", string_value="hi")]))
    ])  # fmt: skip
    span = trace.Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        start_time_unix_nano=1_795_482_000_250_000_000,
        end_time_unix_nano=1_795_482_001_500_000_000,
        attributes=[
            attribute("gen_ai.operation.name", string_value="chat"),
            attribute("gen_ai.request.model", string_value="gpt-4o"),
            attribute("gen_ai.request.temperature", double_value=0.5),
            attribute("gen_ai.usage.output_tokens", int_value=7),
            attribute("gen_ai.input.messages", array_value=messages),
        ],
        status=trace.Status(code=trace.Status.STATUS_CODE_ERROR),
    )
    request = service.ExportTraceServiceRequest(
        resource_spans=[trace.ResourceSpans(scope_spans=[trace.ScopeSpans(spans=[span])])]
    )
    row = row_of(record(request.SerializeToString(), headers=[], key=None))
    assert (row.model, row.prompt, row.output_tokens, row.status) == ("gpt-4o", "hi", 7, 500)
    assert row.latency_us == 1_250_000
    # the JSON mapping writes ids as base64; OTLP/JSON wants them as hexadecimal
    document = json_format.MessageToDict(request)
    made = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    made["traceId"], made["spanId"] = bytes(range(16)).hex(), bytes(range(8)).hex()
    assert row_of(record(json.dumps(document).encode(), headers=[], key=None)) == row


def test_a_chat_of_our_own_envelope_is_as_before() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    row = row_of(record(body, {"type": REQUEST_TYPE}))
    assert (row.operation, row.prompt, row.params) == ("chat", "hi", {"max_tokens": "5"})
