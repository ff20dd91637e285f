"""Requests become rows, and answers complete events that ingestion reads."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from config.errors import PoisonRecord
from config.settings import IngestSettings
from models.nets.sequential import Linear
from models.registry import Architecture
from streams.decode.reasons import poison
from streams.serve.answers import complete_body, event_headers, failure_body, refusal_body
from streams.serve.requests import ModelInput, RequestReader

MODEL = Architecture(
    name="tiny", version="3", input_shape=(4,), layers=(Linear(4, 3),), input_scale=0.5
)
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"io.vedette.inference.request.v1"),
    ("ce_source", b"gateway"),
    ("ce_id", b"7"),
    ("ce_client", b"alice"),
    ("ce-tenant", b"acme"),
]


def record(body: object, headers: list[tuple[str, bytes]] = HEADERS) -> SimpleNamespace:
    value = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SimpleNamespace(
        value=value, headers=headers, key=None, timestamp=0, topic="t", partition=0, offset=0
    )


def read(reader: RequestReader, item: SimpleNamespace) -> ModelInput:
    return reader.read(reader.envelope(item), item.value)


def tensor(shape: list[int], data: list[object], datatype: str = "UINT8") -> dict[str, object]:
    return {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}


@pytest.fixture
def reader() -> RequestReader:
    return RequestReader(IngestSettings(), MODEL)


def test_rows_are_scaled_and_shaped_for_the_model(reader: RequestReader) -> None:
    given = read(reader, record(tensor([2, 4], [0, 1, 2, 3, 4, 5, 6, 255])))
    np.testing.assert_array_equal(given.rows, [[0, 0.5, 1, 1.5], [2, 2.5, 3, 127.5]])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "truncated_json"),
        (tensor([1, 3], [1, 2, 3]), "wrong_input_size"),
        (tensor([1, 4], [1, 2, 3]), "shape_mismatch"),
        (tensor([1, 4], [1, 2, 3, 256]), "value_out_of_range"),
        (tensor([1], ["text"], "BYTES"), "unknown_datatype"),
        ({"prompt": "hello"}, "unknown_format"),
    ],
)
def test_bad_requests_are_named(reader: RequestReader, body: object, reason: str) -> None:
    with pytest.raises(PoisonRecord) as caught:
        read(reader, record(body))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ce_id": b""}, "missing_attribute"),
        ({"ce_client": b""}, "missing_client"),
        ({"ce_time": b"yesterday"}, "bad_time"),
        ({"ce_clientip": b"nowhere"}, "bad_attribute"),
        ({"ce_type": b"io.vedette.inference.v1"}, "unknown_type"),
    ],
)
def test_who_cannot_be_answered_is_told_apart(
    reader: RequestReader, changes: dict[str, bytes], reason: str
) -> None:
    headers = list({**dict(HEADERS), **changes}.items())
    with pytest.raises(PoisonRecord) as caught:
        reader.envelope(record({}, headers))
    assert caught.value.reason == reason


def test_the_answer_embeds_the_request_byte_for_byte() -> None:
    request = b'{"inputs" : [ ]}'
    logits = np.array([[0.0, 2.0, 1.0]], np.float32)
    body = complete_body(request, logits, MODEL)
    assert request in body
    outputs = json.loads(body)["response"]["outputs"]
    assert outputs[0]["name"] == "probabilities"
    assert sum(outputs[0]["data"]) == pytest.approx(1, abs=1e-5)
    assert outputs[1]["data"] == [1]


def test_a_refusal_gives_the_reason_and_leaves_the_request_out() -> None:
    answer = json.loads(refusal_body(poison("wrong_input_size")))
    assert answer["request"] is None
    assert answer["response"]["error"].startswith("wrong_input_size: ")


def test_a_failure_keeps_the_request() -> None:
    assert json.loads(failure_body(b'{"inputs":[]}', "inference failed")) == {
        "request": {"inputs": []},
        "response": {"error": "inference failed"},
    }


def test_the_complete_event_keeps_who_called() -> None:
    headers = dict(event_headers(record({}), MODEL, status=200, latency_us=5))
    assert headers["ce_id"] == b"7"
    assert headers["ce_client"] == b"alice"
    assert headers["ce_tenant"] == b"acme"
    assert headers["ce_type"] == b"io.vedette.inference.v1"
    assert headers["ce_model"] == b"tiny"
    assert headers["ce_status"] == b"200"
