"""Usual records of each format, chats both short and with a history behind a system prompt.

The records of a format differ in all that differs between calls: id, time, caller, latency, texts
and numbers. Every other one is written with the spaces that Python's `json` writes, the others
without, and one text in four has letters that are not ASCII.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.roles.base import Record

#: Records of each format, and of one whose repetitions a decoder may remember.
COUNT, MANY = 16, 1200
_NOW_MS = 1_795_482_000_000
_PIXELS, _CLASSES = 784, 10
_TEXTS = (
    "Tell me how the moon moves the sea, and why there are two tides a day. ",
    "Which of my orders can still be changed: the one of Monday, or both? ",
    "Write a letter to my landlord about the heating that does not get warm. ",
    "Erkläre mir, wieso es täglich zwei Fluten gibt, und nicht bloß eine. ",
)
_ANSWER = "The moon pulls at the near side more than at the far side, so both bulge. "
_INSTRUCTIONS = "Answer customers of the shop politely, and never promise a refund yourself.\n"
_KSERVE = "org.kubeflow.serving.inference.request"
_COMPLETE = "io.vedette.inference.v1"
_NEVER_ALIKE = "V2, binary, with ids"


class _Call:
    """What one call has of its own.

    Parameters
    ----------
    number
        Which call it is.
    """

    def __init__(self, number: int) -> None:
        random = np.random.default_rng(number)
        self.id = str(UUID(bytes=random.bytes(16), version=4))
        self.at_ms = _NOW_MS + 137 * number
        self.time = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat()
        self.client = f"customer-{number % 5}"
        self.latency_us = 1850 + 13 * number
        self.pixels: list[int] = random.integers(0, 256, _PIXELS).tolist()
        scores = random.dirichlet(np.ones(_CLASSES)).astype(np.float32)
        self.scores = [float(str(score)) for score in scores]
        self.text = f"{number}: {_TEXTS[number % len(_TEXTS)]}"
        self.answer = f"{number} reasons: {_ANSWER}"
        self.is_spaced = number % 2 == 1

    def json(self, body: Any) -> bytes:
        """Return a body as the producer of this call writes it."""
        return json.dumps(body).encode() if self.is_spaced else msgspec.json.encode(body)


def samples() -> dict[str, list[Record]]:
    """Return the records by the name of their format."""
    calls = [_Call(number) for number in range(MANY)]
    return {
        name: [make(call) for call in (calls if name == _NEVER_ALIKE else calls[:COUNT])]
        for name, make in _FORMATS.items()
    }


def _record(call: _Call, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    return SimpleNamespace(
        topic="events", partition=0, offset=1, timestamp=call.at_ms, key=call.client.encode(),
        value=value, headers=headers,
    )  # fmt: skip


def _envelope(call: _Call, kind: str) -> dict[str, str]:
    return {
        "specversion": "1.0", "type": kind, "source": "http://gateway/1", "id": call.id,
        "time": call.time, "client": call.client, "tenant": "acme", "model": "digits",
        "status": "200", "latencyus": str(call.latency_us),
    }  # fmt: skip


def _cloud(call: _Call, body: Any, kind: str) -> Record:
    headers = [(f"ce_{name}", text.encode()) for name, text in _envelope(call, kind).items()]
    value = body if isinstance(body, bytes) else call.json(body)
    return _record(call, value, (*headers, ("content-type", b"application/json")))


def _structured(call: _Call, event: Any) -> Record:
    envelope = _envelope(call, _COMPLETE)
    body = {**envelope, "datacontenttype": "application/json", "data": event}
    return _record(call, call.json(body), (("content-type", b"application/cloudevents+json"),))


def _inputs(call: _Call) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 28, 28], "datatype": "UINT8", "data": call.pixels}
    return {"inputs": [tensor]}


def _tensors(call: _Call) -> dict[str, Any]:
    scores = {"name": "scores", "shape": [1, _CLASSES], "datatype": "FP32", "data": call.scores}
    return {"request": _inputs(call), "response": {"outputs": [scores]}}


def _binary(call: _Call, **members: str) -> bytes:
    tensor = {
        "name": "x", "shape": [1, 28, 28], "datatype": "UINT8",
        "parameters": {"binary_data_size": _PIXELS},
    }  # fmt: skip
    return call.json({**members, "inputs": [tensor]}) + bytes(call.pixels)


def _instances(call: _Call) -> dict[str, Any]:
    return {"instances": [[value / 255 for value in call.pixels]]}


def _chat(
    call: _Call, turns: int = 1, instructions: str = "You are a helpful assistant."
) -> dict[str, Any]:
    messages = [{"role": "system", "content": instructions}]
    for _ in range(turns - 1):
        messages += [
            {"role": "user", "content": call.text * 3},
            {"role": "assistant", "content": call.answer * 8},
        ]
    messages.append({"role": "user", "content": call.text * 10})
    answer = {"index": 0, "message": {"role": "assistant", "content": call.answer * 12}}
    return {
        "request": {"model": "llama", "messages": messages, "temperature": 0.7},
        "response": {
            "model": "llama", "choices": [answer],
            "usage": {"prompt_tokens": 190, "completion_tokens": 210},
        },
    }  # fmt: skip


def _long_chat(call: _Call) -> dict[str, Any]:
    return _chat(call, turns=8, instructions=_INSTRUCTIONS * 40)


def _messages(chat: dict[str, Any]) -> dict[str, Any]:
    return {**chat["request"], "system": "Be brief."}


def _stream(call: _Call) -> bytes:
    chunks = [
        {
            "id": call.id, "object": "chat.completion.chunk", "created": call.at_ms // 1000,
            "model": "llama", "choices": [{"index": 0, "delta": {"content": f"{word} "}}],
        }
        for word in (call.answer * 12).split(" ")
    ]  # fmt: skip
    return b"".join(b"data: %b\n\n" % call.json(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


def _litellm(call: _Call, chat: dict[str, Any]) -> Record:
    start_s = call.at_ms / 1000
    payload = {
        "id": f"chatcmpl-{call.id}", "trace_id": call.id, "call_type": "acompletion",
        "status": "success",
        "status_fields": {"llm_api_status": "success", "guardrail_status": "not_run"},
        "startTime": start_s, "endTime": start_s + call.latency_us / 1e6, "response_time": 1.5,
        "prompt_tokens": 190, "completion_tokens": 210, "model": "gpt-4o-2024-08-06",
        "model_group": "gpt-4o", "model_parameters": {"temperature": 0.7}, "hidden_params": {},
        "metadata": {"user_api_key_hash": "0" * 64, "user_api_key_user_id": call.client,
                     "requester_ip_address": "203.0.113.77"},
        "messages": chat["request"]["messages"], "response": chat["response"],
    }  # fmt: skip
    return _record(call, call.json(payload))


def _envoy(call: _Call) -> Record:
    line = {
        "gen_ai.request.model": "llama", "gen_ai.response.model": "llama-3-8b",
        "gen_ai.usage.input_tokens": 190, "gen_ai.usage.output_tokens": 210,
        "start_time": call.time, "method": "POST",
        "x-envoy-origin-path": "/v1/chat/completions", "response_code": 200, "response_flags": "-",
        "bytes_received": 812, "bytes_sent": 1020, "duration": call.latency_us // 1000,
        "user-agent": "curl/8", "x-request-id": call.id, "x-forwarded-for": "203.0.113.77",
        "upstream_host": "10.0.0.1:443", "route_name": "default",
    }  # fmt: skip
    return _record(call, call.json(line))


def _otlp(call: _Call) -> Record:
    asked = [{"role": "user", "parts": [{"content": call.text * 10}]}]
    answered = [{"role": "assistant", "parts": [{"content": call.answer}]}]
    texts = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "user.id": call.client,
        "gen_ai.input.messages": call.json(asked).decode(),
        "gen_ai.output.messages": call.json(answered).decode(),
    }  # fmt: skip
    begin_ns, id_digits = call.at_ms * 10**6, call.id.replace("-", "")
    span = {
        "traceId": id_digits, "spanId": id_digits[:16],
        "startTimeUnixNano": str(begin_ns),
        "endTimeUnixNano": str(begin_ns + call.latency_us * 1000),
        "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()],
    }  # fmt: skip
    return _record(call, call.json({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))


_FORMATS: dict[str, Callable[[_Call], Record]] = {
    "V2, complete": lambda call: _cloud(call, _tensors(call), _COMPLETE),
    "V2, half": lambda call: _cloud(call, _inputs(call), _KSERVE),
    "V2, structured": lambda call: _structured(call, _tensors(call)),
    "V2, binary": lambda call: _cloud(call, _binary(call), _KSERVE),
    _NEVER_ALIKE: lambda call: _cloud(call, _binary(call, id=call.id), _KSERVE),
    "V1": lambda call: _cloud(call, _instances(call), _KSERVE),
    "OpenAI chat, complete": lambda call: _cloud(call, _chat(call), _COMPLETE),
    "OpenAI chat, structured": lambda call: _structured(call, _chat(call)),
    "OpenAI chat, long": lambda call: _cloud(call, _long_chat(call), _COMPLETE),
    "OpenAI chat, stream": lambda call: _cloud(
        call, _stream(call), _KSERVE.replace("request", "response")
    ),
    "Anthropic": lambda call: _cloud(call, _messages(_chat(call)), _KSERVE),
    "Anthropic, long": lambda call: _cloud(call, _messages(_long_chat(call)), _KSERVE),
    "LiteLLM": lambda call: _litellm(call, _chat(call)),
    "LiteLLM, long": lambda call: _litellm(call, _long_chat(call)),
    "Envoy": _envoy,
    "OTLP JSON": _otlp,
}


def nested_json(record: Record) -> list[bytes]:
    """Return the JSON that a record's value holds within texts: the messages of a span."""
    value = record.value or b""
    if b'"resourceSpans"' not in value:
        return []
    (group,) = msgspec.json.decode(value)["resourceSpans"]
    texts = [
        pair["value"]["stringValue"]
        for pair in group["scopeSpans"][0]["spans"][0]["attributes"]
        if pair["key"].endswith(".messages")
    ]
    return [text.encode() for text in texts]


def plain_json(record: Record) -> bytes:
    """Return the JSON that a bare decoder would have to read of a record's value.

    Bytes behind JSON count as the base64 that they would be in JSON, a stream as an array.
    """
    value = record.value or b""
    if value.startswith(b"data:"):
        lines = [line.removeprefix(b"data: ") for line in value.split(b"\n\n")]
        return b"[" + b",".join(line for line in lines if line[:1] == b"{") + b"]"
    end = value.find(b"}]}") + 3 if b"binary_data_size" in value else len(value)
    if end == len(value):
        return value
    return value[: end - 1] + b',"data":"' + base64.b64encode(value[end:]) + b'"}'
