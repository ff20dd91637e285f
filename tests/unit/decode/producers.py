"""Records as each producer writes them."""

from __future__ import annotations

import json
from typing import Any

from streams.ingest.join import Joiner
from tests.unit.decode.records import (
    decode,
    record,
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


def stream(*chunks: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + end


def delta(text: str | None, **more: Any) -> Any:
    return {"model": "llama", "choices": [{"index": 0, "delta": {"content": text, **more}}]}


def protobuf(half: str, message: bytes, **options: Any) -> Any:
    return kserve(half, message, content_type="application/x-protobuf", **options)


INPUTS = "seldon.prod.model.iris.inputs"


def seldon(
    topic: str, value: bytes, *, infer_type: str | None = "proto/InferModelRequest", **headers: str
) -> Any:
    named = {"pipeline": "tf", "x-request-id": "xid1", **headers}
    made = [(name.replace("_", "-"), text.encode()) for name, text in named.items()]
    if infer_type is not None:
        made.append(("seldon-infer-type", infer_type.encode()))
    return record(value, headers=made, key=b"3.tf.xid1", topic=topic)


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


def litellm(body: Any) -> Any:
    return record(body, headers=[], key=None)


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
