"""Bodies of the OpenAI and Anthropic APIs, and the traps that bite there."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.unit.decode.producers import (
    kserve,
    stream,
)
from tests.unit.decode.records import (
    row_of,
)


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
