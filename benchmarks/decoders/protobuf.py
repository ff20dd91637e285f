"""Protobuf messages out of the JSON that their mapping makes of them, as producers send them."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

from streams.decode.protobuf import FIXED64, write_field

if TYPE_CHECKING:
    from collections.abc import Mapping


def infer_request(message: Mapping[str, Any]) -> bytes:
    """Return a ``ModelInferRequest`` with raw contents."""
    tensors = [
        write_field(1, tensor["name"].encode())
        + write_field(2, tensor["datatype"].encode())
        + write_field(3, bytes(tensor["shape"]))
        for tensor in message["inputs"]
    ]
    return b"".join(
        [
            write_field(1, message["model_name"].encode()),
            write_field(3, message["id"].encode()),
            *(write_field(5, tensor) for tensor in tensors),
            *(write_field(7, base64.b64decode(raw)) for raw in message["raw_input_contents"]),
        ]
    )


def traces(exported: Mapping[str, Any]) -> bytes:
    """Return an ``ExportTraceServiceRequest`` of spans whose attributes are texts."""
    groups = [
        b"".join(
            write_field(2, b"".join(write_field(2, _span(span)) for span in scope["spans"]))
            for scope in group["scopeSpans"]
        )
        for group in exported["resourceSpans"]
    ]
    return b"".join(write_field(1, group) for group in groups)


def _span(span: Mapping[str, Any]) -> bytes:
    return b"".join(
        [
            write_field(1, bytes.fromhex(span["traceId"])),
            write_field(2, bytes.fromhex(span["spanId"])),
            _fixed(7, int(span["startTimeUnixNano"])),
            _fixed(8, int(span["endTimeUnixNano"])),
            *(write_field(9, _attribute(pair)) for pair in span["attributes"]),
        ]
    )


def _attribute(pair: Mapping[str, Any]) -> bytes:
    text = write_field(1, pair["value"]["stringValue"].encode())
    return write_field(1, pair["key"].encode()) + write_field(2, text)


def _fixed(number: int, value: int) -> bytes:
    return bytes([number << 3 | FIXED64]) + struct.pack("<Q", value)
