"""Whatever arrives, decoding gives a result or a reason, and soon."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import PoisonRecord
from config.settings import IngestSettings
from streams.decode import Decoded, RecordDecoder
from streams.decode.reasons import REASONS
from streams.ingest.batches import rows_to_batch
from streams.roles.base import Partition
from tests.unit.decode.records import (
    EVENT,
    NAMES,
    REQUEST_TYPE,
    RESPONSE_TYPE,
    headers_of,
    record,
    rows_of,
)

DECODER = RecordDecoder(IngestSettings(), NAMES)
TYPES = ["io.vedette.inference.v1", REQUEST_TYPE, RESPONSE_TYPE]
NAMES_SEEN = [name for name, _ in headers_of()] + ["content-type", "traceparent", "CE-ID", "x"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(
    [
        "request",
        "response",
        "inputs",
        "outputs",
        "name",
        "shape",
        "datatype",
        "data",
        "id",
        "error",
        "messages",
        "content",
        "role",
        "prompt",
        "choices",
        "model",
        "usage",
        "prompt_tokens",
        "input",
        "logit_bias",
        "n",
        "temperature",
    ]
) | st.text(max_size=3)
values = st.recursive(
    scalars | st.sampled_from(["UINT8", "FP32", "INT64", "BYTES", "BOOL", "FP16"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "label", "scores"]),
        "shape": st.lists(st.integers(-1, 4), max_size=3),
        "datatype": st.sampled_from(["UINT8", "FP32", "INT64", "BYTES", "BOOL", "FP16", "?"]),
        "data": st.lists(scalars | st.lists(scalars, max_size=3), max_size=5),
    }
)
events = st.fixed_dictionaries(
    {
        "request": st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=2)}) | values,
        "response": st.fixed_dictionaries({"outputs": st.lists(tensors, max_size=3)}) | values,
    }
)


def outcome(item: Any) -> Decoded | None:
    try:
        decoded = DECODER.decode(item)
    except PoisonRecord as error:
        if error.reason not in REASONS:
            raise
        return None
    if decoded is not None:
        rows_to_batch(Partition("events", 2), rows_of(decoded)).validate(full=True)
        assert all(refusal.error.reason in REASONS for refusal in decoded.refused)
    return decoded


@given(st.binary(max_size=200), st.sampled_from(TYPES))
def test_any_bytes(body: bytes, event_type: str) -> None:
    outcome(record(body, {"type": event_type}))


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES_SEEN) | st.text(max_size=5), st.binary(max_size=20)),
        max_size=20,
    )
)
def test_any_headers(headers: list[tuple[str, bytes]]) -> None:
    outcome(record(headers=headers))


@given(st.sampled_from(NAMES_SEEN), st.text(max_size=30))
def test_any_attribute(name: str, text: str) -> None:
    outcome(record(EVENT, {name.removeprefix("ce_"): text.encode("utf-8", "ignore")}))


@settings(max_examples=300)
@given(values | events, st.sampled_from(TYPES))
def test_any_json(body: Any, event_type: str) -> None:
    outcome(record(body, {"type": event_type}))


@given(events, st.sampled_from(["application/cloudevents+json", "APPLICATION/CloudEvents"]))
def test_any_structured_event(event: dict[str, Any], content_type: str) -> None:
    attributes = {name[3:]: value.decode() for name, value in headers_of()}
    body = {**attributes, **event, "data": event}
    outcome(record(body, headers=[("content-type", content_type.encode())]))


@given(st.data())
def test_a_damaged_event(data: st.DataObject) -> None:
    text = bytearray(json.dumps(EVENT).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        text = text or bytearray(b" ")
    outcome(record(bytes(text)))
