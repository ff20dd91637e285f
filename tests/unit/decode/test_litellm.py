"""LiteLLM's logging payload, of any build and form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.decode import Part
from tests.unit.decode.producers import (
    CALL,
    litellm,
)
from tests.unit.decode.records import (
    NAMES,
    decode,
    row_of,
    rows_of,
)

FAILED: dict[str, Any] = {
    **CALL,
    "status": "failure",
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "response": None,
    "error_str": "you wrote: secret",
    "error_information": {"error_code": "429", "error_class": "RateLimitError"},
}


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
