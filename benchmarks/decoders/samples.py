"""Usual records of each format, chats both short and with a history behind a system prompt."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from streams.roles.base import Record

_NOW_MS = 1_795_482_000_000
_PIXELS = 784
_TEXT = "Tell me how the moon moves the sea, and why there are two tides a day. "
_ANSWER = "The moon pulls at the near side more than at the far side, so both bulge. "
_INSTRUCTIONS = "Answer customers of the shop politely, and never promise a refund yourself.\n"
_ENVELOPE = {
    "specversion": "1.0",
    "source": "http://gateway/1",
    "id": "7d9f6a52-53a0-4a7c-8e43-0a7a3f3c1d11",
    "time": "2026-11-24T01:00:00.5Z",
    "client": "alice",
    "tenant": "acme",
    "model": "digits",
    "status": "200",
    "latencyus": "1850",
}
_KSERVE = "org.kubeflow.serving.inference.request"
_COMPLETE = "io.vedette.inference.v1"


def samples() -> dict[str, Record]:
    """Return the records by the name of their format."""
    pixels = np.random.default_rng(0).integers(0, 256, _PIXELS).tolist()
    tensor = {"name": "x", "shape": [1, 28, 28], "datatype": "UINT8", "data": pixels}
    scores = {"name": "scores", "shape": [1, 10], "datatype": "FP32", "data": [0.1] * 10}
    event = {"request": {"inputs": [tensor]}, "response": {"outputs": [scores]}}
    chat, long_chat = _chat(), _chat(turns=8, instructions=_INSTRUCTIONS * 40)
    return {
        "V2, complete": _cloud(event, _COMPLETE),
        "V2, half": _cloud({"inputs": [tensor]}, _KSERVE),
        "V2, structured": _structured(event),
        "V2, binary tensors": _cloud(_binary(bytes(pixels)), _KSERVE),
        "V1": _cloud({"instances": [[value / 255 for value in pixels]]}, _KSERVE),
        "OpenAI chat, complete": _cloud(chat, _COMPLETE),
        "OpenAI chat, long": _cloud(long_chat, _COMPLETE),
        "OpenAI chat, stream": _cloud(_stream(), _KSERVE.replace("request", "response")),
        "Anthropic": _cloud({**chat["request"], "system": "Be brief."}, _KSERVE),
        "Anthropic, long": _cloud({**long_chat["request"], "system": "Be brief."}, _KSERVE),
        "LiteLLM": _record(_json(_litellm(chat))),
        "LiteLLM, long": _record(_json(_litellm(long_chat))),
        "Envoy": _record(_json(_ENVOY)),
        "OTLP JSON": _record(_json(_otlp())),
    }


def _json(body: Any) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def _record(value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    return SimpleNamespace(
        topic="events", partition=0, offset=1, timestamp=_NOW_MS, key=b"alice",
        value=value, headers=headers,
    )  # fmt: skip


def _cloud(body: Any, kind: str) -> Record:
    attributes = {**_ENVELOPE, "type": kind}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return _record(_json(body), (*headers, ("content-type", b"application/json")))


def _structured(event: Any) -> Record:
    body = {**_ENVELOPE, "type": _COMPLETE, "datacontenttype": "application/json", "data": event}
    return _record(_json(body), (("content-type", b"application/cloudevents+json"),))


def _binary(data: bytes) -> bytes:
    tensor = {
        "name": "x", "shape": [1, 28, 28], "datatype": "UINT8",
        "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    return _json({"inputs": [tensor]}) + data


def _chat(turns: int = 1, instructions: str = "You are a helpful assistant.") -> dict[str, Any]:
    messages = [{"role": "system", "content": instructions}]
    for _ in range(turns - 1):
        messages += [
            {"role": "user", "content": _TEXT * 3},
            {"role": "assistant", "content": _ANSWER * 8},
        ]
    messages.append({"role": "user", "content": _TEXT * 10})
    answer = {"index": 0, "message": {"role": "assistant", "content": _ANSWER * 12}}
    return {
        "request": {"model": "llama", "messages": messages, "temperature": 0.7},
        "response": {
            "model": "llama", "choices": [answer],
            "usage": {"prompt_tokens": 190, "completion_tokens": 210},
        },
    }  # fmt: skip


def _stream() -> bytes:
    words = (_ANSWER * 12).split(" ")
    chunks = [
        {
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795482000,
            "model": "llama", "choices": [{"index": 0, "delta": {"content": f"{word} "}}],
        }
        for word in words
    ]  # fmt: skip
    return b"".join(b"data: %b\n\n" % _json(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


def _litellm(chat: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "trace_id": "t", "call_type": "acompletion", "status": "success",
        "status_fields": {"llm_api_status": "success", "guardrail_status": "not_run"},
        "startTime": _NOW_MS / 1000, "endTime": _NOW_MS / 1000 + 1.5, "response_time": 1.5,
        "prompt_tokens": 190, "completion_tokens": 210, "model": "gpt-4o-2024-08-06",
        "model_group": "gpt-4o", "model_parameters": {"temperature": 0.7}, "hidden_params": {},
        "metadata": {"user_api_key_hash": "0" * 64, "user_api_key_user_id": "alice",
                     "requester_ip_address": "203.0.113.77"},
        "messages": chat["request"]["messages"], "response": chat["response"],
    }  # fmt: skip


_ENVOY = {
    "gen_ai.request.model": "llama", "gen_ai.response.model": "llama-3-8b",
    "gen_ai.usage.input_tokens": 190, "gen_ai.usage.output_tokens": 210,
    "start_time": "2026-11-24T01:00:00.500Z", "method": "POST",
    "x-envoy-origin-path": "/v1/chat/completions", "response_code": 200, "response_flags": "-",
    "bytes_received": 812, "bytes_sent": 1020, "duration": 1850, "user-agent": "curl/8",
    "x-request-id": "7d9f6a52", "x-forwarded-for": "203.0.113.77",
    "upstream_host": "10.0.0.1:443", "route_name": "default",
}  # fmt: skip


def _otlp() -> dict[str, Any]:
    texts = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "user.id": "alice",
        "gen_ai.input.messages": _json([{"role": "user", "parts": [{"content": _TEXT * 10}]}]),
        "gen_ai.output.messages": _json([{"role": "assistant", "parts": [{"content": _ANSWER}]}]),
    }  # fmt: skip
    attributes = [
        {"key": key, "value": {"stringValue": text.decode() if isinstance(text, bytes) else text}}
        for key, text in texts.items()
    ]
    span = {
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "startTimeUnixNano": str(_NOW_MS * 10**6), "endTimeUnixNano": str((_NOW_MS + 900) * 10**6),
        "attributes": attributes,
    }  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def plain_json(record: Record) -> bytes | None:
    """Return the JSON that a bare decoder would have to read; None if the value holds none.

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
