"""Builds records as producers post them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiokafka.structs import ConsumerRecord

from config.settings import IngestSettings
from streams.decode import Decoded, RecordDecoder
from streams.identity import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Headers = Sequence[tuple[str, bytes | None]]

BROKER_MS = 1_795_482_000_000  # 2026-11-24T01:00:00Z
NAMES = Pseudonyms(b"k" * 32)
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "io.vedette.inference.v1",
    "source": "http://gateway/1",
    "id": "r1",
    "time": "2026-11-24T01:00:00.5Z",
    "client": "alice",
    "tenant": "acme",
    "model": "digits",
    "modelversion": "3",
    "keyid": "key-1",
    "clientip": "203.0.113.77",
    "useragent": "curl/8",
    "endpoint": "/v2/models/digits/infer",
    "status": "200",
    "latencyus": "1500",
}
PIXELS = [0, 255, 7, 8]
REQUEST: dict[str, Any] = {
    "id": "r1",
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "UINT8", "data": PIXELS}],
}
RESPONSE: dict[str, Any] = {
    "model_name": "digits",
    "model_version": "3",
    "id": "r1",
    "outputs": [
        {"name": "probabilities", "shape": [1, 3], "datatype": "FP32", "data": [0.25, 0.5, 0.25]},
        {"name": "label", "shape": [1], "datatype": "INT64", "data": [1]},
    ],
}
EVENT = {"request": REQUEST, "response": RESPONSE}
REQUEST_TYPE = "io.vedette.inference.request.v1"
RESPONSE_TYPE = "io.vedette.inference.response.v1"


def tensor(datatype: str, shape: list[int], data: Any, name: str = "x") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def event_of(*inputs: Any, response: Any = None) -> dict[str, Any]:
    return {"request": {"inputs": list(inputs)}, "response": response or RESPONSE}


def headers_of(
    changes: Mapping[str, str | bytes | None] | None = None, prefix: str = "ce_"
) -> list[tuple[str, bytes]]:
    """Headers of `ATTRIBUTES` with ``changes``; a change to None leaves one out."""
    merged: dict[str, str | bytes | None] = {**ATTRIBUTES, **(changes or {})}
    return [
        (prefix + name, value.encode() if isinstance(value, str) else value)
        for name, value in merged.items()
        if value is not None
    ]


def record(
    body: Any = EVENT,
    changes: Mapping[str, str | bytes | None] | None = None,
    *,
    headers: Headers | None = None,
    content_type: str | None = "application/json",
    key: bytes | None = b"alice",
    topic: str = "events",
    offset: int = 7,
    timestamp: int = BROKER_MS,
) -> Any:
    """A consumed record; ``body`` is encoded as JSON unless it is bytes or None."""
    value = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named: list[tuple[str, Any]] = list(headers_of(changes) if headers is None else headers)
    if content_type is not None and headers is None:
        named.append(("content-type", content_type.encode()))
    return ConsumerRecord(
        topic=topic,
        partition=2,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(named),
    )


def decode(item: Any, **bounds: Any) -> Decoded | None:
    return RecordDecoder(IngestSettings(**bounds), NAMES).decode(item)


def rows_of(decoded: Decoded | None) -> list[Any]:
    """The rows of all events of a record."""
    if decoded is None:
        return []
    return [row for event in (decoded, *decoded.more) for row in event.rows]


def row_of(item: Any, **bounds: Any) -> Any:
    """The only row that ``item`` brings."""
    decoded = decode(item, **bounds)
    assert decoded is not None
    (row,) = decoded.rows
    return row
