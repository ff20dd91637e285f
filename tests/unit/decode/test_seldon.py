"""Seldon Core 2 and MLServer on Kafka, and the traps that bite there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streams.decode import Part
from tests.unit.decode.producers import (
    INPUTS,
    joined,
    seldon,
)
from tests.unit.decode.records import (
    NAMES,
    REQUEST,
    RESPONSE,
    decode,
    record,
)
from tests.unit.decode.wire import (
    infer_request,
    infer_response,
    infer_tensor,
)

OUTPUTS = "seldon.prod.model.iris.outputs"


def test_both_topics_of_a_seldon_model_join() -> None:
    output = infer_response([infer_tensor("INT64", [1, 1], name="is_drift")], [b"\x01" + b"\0" * 7])
    asked = seldon(INPUTS, infer_request(), x_forwarded_for="203.0.113.9")
    answered = seldon(OUTPUTS, output, infer_type="proto/InferModelResponse")
    (row,) = joined(asked, answered)
    assert (row.model, row.label, row.input, row.client_net) == (
        "iris",
        1,
        b"\x07",
        "203.0.113.0/24",
    )
    assert row.client == NAMES.of("client", "203.0.113.9")
    for item in (asked, answered):
        decoded = decode(item)
        assert decoded is not None
        assert decoded.scattered


@pytest.mark.parametrize("topic", [INPUTS, "renamed"])
@pytest.mark.parametrize("value", [infer_request(), json.dumps(REQUEST).encode()])
def test_a_missing_infer_type_is_found_out_in_order(topic: str, value: bytes) -> None:
    decoded = decode(seldon(topic, value, infer_type=None))
    assert decoded is not None
    assert decoded.part is Part.REQUEST


def test_the_case_of_the_infer_type_does_not_matter() -> None:
    body = json.dumps(RESPONSE).encode()
    decoded = decode(seldon("renamed", body, infer_type="json/inferModelResponse"))
    assert decoded is not None
    assert decoded.part is Part.RESPONSE


def test_text_in_the_error_topic_is_kept_as_a_failure() -> None:
    asked = seldon("seldon.prod.pipeline.tf.inputs", infer_request())
    failed = seldon(
        "seldon.prod.errors.errors",
        b"rpc error: secret text",
        infer_type=None,
        seldon_pipeline_errors="tokenizer",
    )
    (row,) = joined(asked, failed)
    assert (row.status, row.error) == (500, "tokenizer")


@pytest.mark.parametrize("prefix", [b"\0\0\0\0\x07\x00", b"\0\0\0\0\x07\x04\x02\x00", b""])
def test_a_schema_id_may_be_there_or_silently_absent(prefix: bytes) -> None:
    with_prefix = decode(seldon(INPUTS, prefix + infer_request()))
    assert with_prefix == decode(seldon(INPUTS, infer_request()))


def test_one_id_for_a_whole_batch_is_marked_and_not_joined_one_to_one() -> None:
    outputs = infer_response([infer_tensor("INT64", [3])], [np.array([1, 2, 3]).tobytes()])
    (row,) = joined(
        seldon(INPUTS, infer_request()),
        seldon(OUTPUTS, outputs, infer_type="proto/InferModelResponse"),
    )
    assert (row.label, row.params) == (None, {"vedette.join": "row_mismatch"})


def test_a_seldon_record_without_the_request_id_header_has_it_in_its_key() -> None:
    item = seldon(INPUTS, infer_request())
    headers = [pair for pair in item.headers if pair[0] != "x-request-id"]
    decoded = decode(record(item.value, headers=headers, key=b"3.tf.xid9", topic=INPUTS))
    assert decoded is not None
    assert decoded.event_id == "xid9"


def test_a_record_in_a_topic_of_seldons_needs_no_header_of_its_own() -> None:
    decoded = decode(record(infer_request(), headers=[], key=b"3.tf.xid9", topic=INPUTS))
    assert decoded is not None
    assert (decoded.part, decoded.event_id, decoded.rows[0].model) == (Part.REQUEST, "xid9", "iris")


def test_mlserver_takes_the_model_from_a_header_and_the_id_from_the_key() -> None:
    headers = [("mlserver-model", b"iris"), ("mlserver-version", b"2")]
    asked = record(REQUEST, headers=headers, key=b"call-1", topic="mlserver-input")
    answered = record(RESPONSE, headers=headers, key=b"call-1", topic="mlserver-output")
    (row,) = joined(asked, answered)
    assert (row.model, row.model_version, row.label, row.client) == ("iris", "2", 1, None)
