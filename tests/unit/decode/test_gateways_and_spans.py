"""Envoy's access log and the spans of OpenTelemetry and OpenInference."""

from __future__ import annotations

from tests.unit.decode.producers import (
    GENAI,
    LINE,
    attribute,
    otlp,
)
from tests.unit.decode.records import (
    NAMES,
    decode,
    record,
    row_of,
)
from tests.unit.decode.wire import (
    field,
    fixed,
)


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
