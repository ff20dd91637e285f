"""What the demo writes and reads is Open Inference Protocol V2."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streams.demo.transport import Signature, scores_of

IMAGE = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


@pytest.mark.parametrize(("datatype", "highest"), [("UINT8", 255), ("FP32", 1.0)])
def test_a_body_holds_the_picture_in_the_models_datatype(datatype: str, highest: float) -> None:
    body = msgspec.json.decode(Signature("digits", "image", (8, 8), datatype).body(IMAGE))
    (tensor,) = body["inputs"]
    assert tensor["name"] == "image"
    assert tensor["shape"] == [1, 8, 8]
    assert tensor["datatype"] == datatype
    assert len(tensor["data"]) == 64
    assert max(tensor["data"]) == highest


def test_probabilities_are_read_from_a_complete_event() -> None:
    event = {
        "request": {"inputs": []},
        "response": {
            "outputs": [
                {"name": "label", "shape": [1], "datatype": "INT64", "data": [1]},
                {
                    "name": "probabilities",
                    "shape": [1, 2],
                    "datatype": "FP32",
                    "data": [0.25, 0.75],
                },
            ]
        },
    }
    scores = scores_of(msgspec.json.encode(event))
    assert scores is not None
    np.testing.assert_allclose(scores, [0.25, 0.75])


def test_a_refusal_has_no_probabilities() -> None:
    refused = {"request": {"inputs": []}, "response": {"error": "too large"}}
    assert scores_of(msgspec.json.encode(refused)) is None
