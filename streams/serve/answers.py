"""Answers in Open Inference Protocol V2, inside complete events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from config.errors import PoisonRecord
    from models.registry import Architecture
    from streams.roles.base import Record

COMPLETE_TYPE = b"io.vedette.inference.v1"
PROBABILITY_DECIMALS = 6
#: Attributes of the request that its complete event carries on.
_COPIED = frozenset(
    f"{prefix}{name}"
    for prefix in ("ce_", "ce-")
    for name in (
        "id",
        "source",
        "time",
        "client",
        "tenant",
        "keyid",
        "clientip",
        "useragent",
        "endpoint",
    )
) | {"traceparent"}

_encoder = msgspec.json.Encoder()


class _Tensor(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    data: list[float] | list[int]


class _Response(msgspec.Struct, gc=False):
    model_name: str
    model_version: str
    outputs: list[_Tensor]


class _Failure(msgspec.Struct, gc=False):
    error: str


class _Complete(msgspec.Struct, gc=False):
    request: msgspec.Raw
    response: _Response | _Failure


def complete_body(request: bytes, logits: NDArray[np.float32], architecture: Architecture) -> bytes:
    """Return the body of a complete event; the request stands in it byte for byte."""
    shares = softmax(logits)
    rounded = np.round(shares, PROBABILITY_DECIMALS)
    rows, classes = shares.shape
    outputs = [
        _Tensor("probabilities", "FP32", [rows, classes], rounded.ravel().tolist()),
        _Tensor("label", "INT64", [rows], logits.argmax(axis=1).tolist()),
    ]
    response = _Response(architecture.name, architecture.version, outputs)
    return _encoder.encode(_Complete(msgspec.Raw(request), response))


def failure_body(request: bytes, error: str) -> bytes:
    """Return the body of an event for a good request that the model failed on."""
    return _encoder.encode(_Complete(msgspec.Raw(request), _Failure(error)))


def refusal_body(error: PoisonRecord) -> bytes:
    """Return the body of an event for a request that was refused.

    The request stands in it as null: what this reader refuses ingest would refuse as well, and
    the refusal itself, which tells of attempts, would be lost with it.
    """
    return _encoder.encode(_Complete(msgspec.Raw(b"null"), _Failure(str(error))))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities (n, classes)."""
    exponent = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = exponent / exponent.sum(axis=1, keepdims=True)
    return shares


def event_headers(
    record: Record, architecture: Architecture, *, status: int, latency_us: int
) -> list[tuple[str, bytes]]:
    """Return the CloudEvents headers of the complete event of a request."""
    copied = [
        (f"ce_{name.lower()[3:]}" if name[:2].lower() == "ce" else name, value)
        for name, value in record.headers
        if name.lower() in _COPIED and value is not None
    ]
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", COMPLETE_TYPE),
        ("content-type", b"application/json"),
        *copied,
        ("ce_model", architecture.name.encode()),
        ("ce_modelversion", architecture.version.encode()),
        ("ce_status", str(status).encode()),
        ("ce_latencyus", str(latency_us).encode()),
    ]
