"""What producers send becomes one normal form."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from streams.decode import Part
from streams.decode.model import Interaction
from tests.unit.decode.records import (
    EVENT,
    NAMES,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    decode,
    event_of,
    headers_of,
    record,
    row_of,
    tensor,
)

TIME_US = 1_795_482_000_500_000
CHAT = {
    "model": "llama",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]},
    ],
    "temperature": 0.7,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 5,
    "stream": False,
    "logit_bias": {"50256": -100},
}
CHAT_ANSWER = {
    "object": "chat.completion",
    "model": "llama-3",
    "choices": [{"message": {"content": "hello"}}, {"message": {"content": None}}],
}


def same_but_for(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name not in names}


def test_a_complete_event_of_tensors() -> None:
    decoded = decode(record())
    assert decoded is not None
    assert (decoded.part, decoded.source, decoded.event_id) == (
        Part.COMPLETE,
        "http://gateway/1",
        "r1",
    )
    pixels = bytes([0, 255, 7, 8])
    assert decoded.rows == [
        Interaction(
            id="events-2-7-0",
            time_us=TIME_US,
            tenant=NAMES.of("tenant", "acme"),
            client=NAMES.of("client", "alice"),
            key_id=NAMES.of("key", "key-1"),
            client_net="203.0.113.0/24",
            user_agent="curl/8",
            model="digits",
            model_version="3",
            endpoint="/v2/models/digits/infer",
            operation="predict",
            status=200,
            latency_us=1500,
            input=pixels,
            input_shape=[4],
            input_dtype="uint8",
            scores=np.array([0.25, 0.5, 0.25], "<f4").tobytes(),
            label=1,
            input_hash=NAMES.payload_hash(b"uint8[4]\0", pixels),
        )
    ]


@pytest.mark.parametrize("prefix", ["ce_", "ce-", "CE_", "Ce-"])
def test_attributes_are_read_with_either_prefix_in_any_case(prefix: str) -> None:
    headers = [*headers_of(prefix=prefix), ("Content-Type", b"application/json; charset=UTF-8")]
    assert decode(record(headers=headers)) == decode(record())


@pytest.mark.parametrize("form", ["data", "data_base64"])
def test_structured_and_binary_mode_give_the_same(form: str) -> None:
    data: Any = EVENT if form == "data" else base64.b64encode(json.dumps(EVENT).encode()).decode()
    attributes = {name.removeprefix("ce_"): value.decode() for name, value in headers_of()}
    event = {**attributes, "datacontenttype": "application/json", "status": 200, form: data}
    content_type = ("content-type", b"application/cloudevents+json; charset=UTF-8")
    assert decode(record(event, headers=[content_type])) == decode(record())


def test_a_tombstone_brings_nothing() -> None:
    assert decode(record(None)) is None


def test_a_structured_event_without_data_brings_nothing() -> None:
    event = {"specversion": "1.0", "type": REQUEST_TYPE, "source": "s", "id": "1"}
    assert (
        decode(record(event, headers=[("content-type", b"application/cloudevents+json")])) is None
    )


def test_halves_bring_what_they_know() -> None:
    request = row_of(record(REQUEST, {"type": REQUEST_TYPE, "status": None, "latencyus": None}))
    response = row_of(record(RESPONSE, {"type": RESPONSE_TYPE}))
    assert (request.input, request.status, request.scores) == (bytes([0, 255, 7, 8]), None, None)
    assert (response.input, response.status, response.label) == (None, 200, 1)


@pytest.mark.parametrize(
    ("event_type", "part"),
    [
        ("org.kubeflow.serving.inference.request", Part.REQUEST),
        ("io.seldon.serving.inference.request", Part.REQUEST),
    ],
)
def test_types_of_other_producers_are_known(event_type: str, part: Part) -> None:
    decoded = decode(record(REQUEST, {"type": event_type}))
    assert decoded is not None
    assert decoded.part is part


def test_seldon_v1_joins_by_its_request_id_and_may_be_old() -> None:
    changes = {
        "type": "io.seldon.serving.inference.request",
        "requestid": "q7",
        "specversion": "0.3",
    }
    decoded = decode(record(REQUEST, changes))
    assert decoded is not None
    assert decoded.event_id == "q7"


def test_kserve_names_the_model_by_its_service_when_nothing_else_does() -> None:
    changes = {"type": REQUEST_TYPE, "model": None, "inferenceservicename": "sklearn-iris"}
    assert row_of(record(REQUEST, changes)).model == "sklearn-iris"


def test_the_query_of_an_endpoint_is_cut_off() -> None:
    row = row_of(record(EVENT, {"endpoint": "/v2/models/digits/infer?key=secret"}))
    assert row.endpoint == "/v2/models/digits/infer"


def test_the_time_is_the_brokers_when_the_producer_gives_none() -> None:
    assert row_of(record(EVENT, {"time": None})).time_us == 1_795_482_000_000_000


def test_the_client_falls_back_to_credential_then_user_then_key_then_address() -> None:
    nobody = {"client": None, "keyid": None, "clientip": None, "type": REQUEST_TYPE}
    chat = {**CHAT, "user": "bob"}
    assert row_of(record(chat, {**nobody, "keyid": "k"})).client == NAMES.of("client", "k")
    assert row_of(record(chat, nobody)).client == NAMES.of("client", "bob")
    assert row_of(record(CHAT, nobody, key=b"carol")).client == NAMES.of("client", "carol")
    address = {**nobody, "clientip": "203.0.113.9"}
    assert row_of(record(CHAT, address, key=None)).client == NAMES.of("client", "203.0.113.9")


def test_nested_and_flat_data_are_the_same() -> None:
    nested = event_of(tensor("UINT8", [1, 2, 2], [[[0, 255], [7, 8]]]))
    flat = event_of(tensor("UINT8", [1, 2, 2], [0, 255, 7, 8]))
    assert row_of(record(nested)) == row_of(record(flat))
    assert row_of(record(flat)).input_shape == [2, 2]


@pytest.mark.parametrize(
    ("datatype", "dtype", "values"),
    [
        ("BOOL", "bool", [True, False]),
        ("UINT8", "uint8", [0, 255]),
        ("UINT16", "uint16", [0, 65535]),
        ("UINT32", "uint32", [0, 2**32 - 1]),
        ("UINT64", "uint64", [0, 2**64 - 1]),
        ("INT8", "int8", [-128, 127]),
        ("INT16", "int16", [-32768, 32767]),
        ("INT32", "int32", [-(2**31), 2**31 - 1]),
        ("INT64", "int64", [-(2**63), 2**63 - 1]),
        ("FP16", "float16", [0.5, -2]),
        ("FP32", "float32", [0.1, 3]),
        ("FP64", "float64", [0.1, 1e300]),
    ],
)
def test_every_datatype_keeps_its_values(datatype: str, dtype: str, values: list[Any]) -> None:
    row = row_of(record(event_of(tensor(datatype, [1, 2], values))))
    assert row.input_dtype == dtype
    assert np.array_equal(np.frombuffer(row.input, dtype), np.array(values, dtype))


def test_a_batch_gives_one_row_for_each_sample() -> None:
    outputs = [tensor("FP32", [2, 3], [0, 0.1, 0.9, 0.8, 0.1, 0.1], "probabilities")]
    event = event_of(tensor("UINT8", [2, 2], [1, 2, 3, 4]), response={"outputs": outputs})
    decoded = decode(record(event))
    assert decoded is not None
    first, second = decoded.rows
    assert (first.id, first.input, first.label) == ("events-2-7-0", b"\x01\x02", 2)
    assert (second.id, second.input, second.label) == ("events-2-7-1", b"\x03\x04", 0)
    assert np.frombuffer(second.scores, "<f4")[0] == np.float32(0.8)


def test_the_label_is_the_highest_score_when_none_is_named() -> None:
    response = {"outputs": [tensor("FP32", [1, 3], [0.1, 0.7, 0.2], "logits")]}
    assert row_of(record(response, {"type": RESPONSE_TYPE})).label == 1


def test_telling_names_win_over_the_order_of_outputs() -> None:
    outputs = [
        tensor("FP32", [1, 2], [9, 8], "embedding"),
        tensor("INT64", [1], [5], "tokens"),
        tensor("FP32", [1, 2], [0.3, 0.7], "scores"),
        tensor("INT64", [1], [1], "label"),
    ]
    row = row_of(record({"outputs": outputs}, {"type": RESPONSE_TYPE}))
    assert (row.label, row.scores) == (1, np.array([0.3, 0.7], "<f4").tobytes())


def test_huge_outputs_are_no_scores() -> None:
    outputs = [tensor("FP32", [1, 5000], [0.5] * 5000)]
    assert row_of(record({"outputs": outputs}, {"type": RESPONSE_TYPE})).scores is None


def test_text_tensors_are_prompts() -> None:
    row = row_of(record(event_of(tensor("BYTES", [1], ["hello"]))))
    assert (row.prompt, row.input) == ("hello", None)


def test_the_largest_of_several_inputs_is_the_payload() -> None:
    event = event_of(tensor("INT64", [1], [7]), tensor("UINT8", [1, 2], [1, 2]))
    row = row_of(record(event))
    assert (row.input, row.params) == (b"\x01\x02", {"inputs": "2"})


@pytest.mark.parametrize("response", [None, {"error": "no such model"}])
def test_a_refused_call_is_kept(response: Any) -> None:
    row = row_of(record({"request": REQUEST, "response": response}, {"status": "403"}))
    assert (row.status, row.label, row.input_shape) == (403, None, [4])


def test_a_v2_error_is_kept_for_every_row() -> None:
    event = {
        "request": {"inputs": [tensor("UINT8", [2, 1], [1, 2])]},
        "response": {"error": "overloaded"},
    }
    decoded = decode(record(event, {"status": None}))
    assert decoded is not None
    assert [(row.status, row.error) for row in decoded.rows] == [(500, "overloaded")] * 2


def test_a_chat_becomes_texts_and_params() -> None:
    row = row_of(record(CHAT, {"type": REQUEST_TYPE, "model": None}))
    assert (row.operation, row.model) == ("chat", "llama")
    assert row.prompt == 'be brief\nhi\nf {"a": 1}'
    bias = row.params.pop("logit_bias")
    assert len(bias) == 16
    assert row.params == {
        "temperature": "0.7",
        "n": "2",
        "logprobs": "true",
        "top_logprobs": "5",
        "stream": "false",
    }
    assert row.input_hash == NAMES.payload_hash(row.prompt.encode())


def test_content_as_text_and_as_parts_are_the_same() -> None:
    def prompt(content: Any) -> str:
        body = {"messages": [{"role": "user", "content": content}]}
        text: str = row_of(record(body, {"type": REQUEST_TYPE})).prompt
        return text

    assert prompt("hi") == prompt([{"type": "text", "text": "hi"}]) == "hi"


def test_tokens_are_unknown_without_usage() -> None:
    row = row_of(record({"request": CHAT, "response": CHAT_ANSWER}))
    assert (row.completion, row.input_tokens, row.output_tokens) == ("hello\n", None, None)


def test_usage_is_read() -> None:
    answer = {**CHAT_ANSWER, "usage": {"prompt_tokens": 5, "completion_tokens": 0}}
    row = row_of(record(answer, {"type": RESPONSE_TYPE}))
    assert (row.input_tokens, row.output_tokens) == (5, 0)


def test_a_completion() -> None:
    event = {
        "request": {"model": "m", "prompt": ["a", "b"], "logprobs": 3},
        "response": {"choices": [{"text": "c"}]},
    }
    row = row_of(record(event))
    assert (row.operation, row.prompt, row.completion) == ("completion", "a\nb", "c")
    assert row.params == {"logprobs": "3"}


def test_an_embedding() -> None:
    event = {
        "request": {"model": "m", "input": "text"},
        "response": {"object": "list", "data": [{"embedding": "AAAA"}]},
    }
    row = row_of(record(event))
    assert (row.operation, row.prompt, row.completion) == ("embedding", "text", None)


def test_an_openai_error_keeps_its_code_and_not_its_text() -> None:
    error = {"error": {"message": "you wrote: secret", "type": "invalid", "code": "policy"}}
    row = row_of(record({"request": CHAT, "response": error}, {"status": None}))
    assert (row.status, row.error) == (500, "policy")


def test_a_long_text_is_cut_and_says_so_but_hashed_whole() -> None:
    body = {"model": "m", "prompt": "\u00e9" * 1000}
    row = row_of(record(body, {"type": REQUEST_TYPE}), max_text_bytes=301)
    assert row.prompt == "\u00e9" * 150
    assert row.params == {"vedette.truncated": "prompt"}
    assert row.input_hash == NAMES.payload_hash(("\u00e9" * 1000).encode())


def test_a_members_name_as_a_value_is_no_duplicate() -> None:
    event = event_of(tensor("UINT8", [1], [1], name="inputs"))
    event["request"]["id"] = 'urn:uuid:"inputs": {}'
    assert row_of(record(event)).input == b"\x01"


def test_a_request_that_was_refused_unread_is_kept_as_an_attempt() -> None:
    body = {"request": None, "response": {"error": "wrong_input_size: of another size"}}
    row = row_of(record(body, {"status": "400"}))
    assert (row.status, row.error) == (400, "wrong_input_size: of another size")
    assert (row.input, row.scores, row.label, row.input_hash) == (None, None, None, None)
    assert row.client.startswith("u1_")
    assert row.model == "digits"
