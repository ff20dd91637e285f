"""KServe's logger on the wire, Seldon v1 beside it, and the traps that bite there."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from streams.decode import Part
from streams.ingest.join import Joiner
from tests.unit.decode.producers import (
    delta,
    joined,
    kserve,
    stream,
)
from tests.unit.decode.records import (
    NAMES,
    REQUEST,
    RESPONSE,
    decode,
    record,
    row_of,
)


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
