"""Builds the binary bodies that JSON cannot show, by hand from the specifications."""

from __future__ import annotations

import json
import struct
from typing import Any

INPUTS, OUTPUTS = 5, 5
REQUEST_RAW, RESPONSE_RAW = 7, 6


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | str | bytes) -> bytes:
    """A varint field, or a length-delimited one."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fixed(number: int, code: str, value: float) -> bytes:
    wire = 5 if struct.calcsize(code) == 4 else 1
    return varint(number << 3 | wire) + struct.pack(code, value)


def infer_tensor(
    datatype: str, shape: list[int], contents: bytes | None = None, name: str = "x"
) -> bytes:
    packed = b"".join(map(varint, shape))
    made = field(1, name) + field(2, datatype) + field(3, packed)
    return made if contents is None else made + field(5, contents)


def infer_request(
    tensors: list[bytes] | None = None,
    raw: list[bytes] | None = None,
    *,
    typed: bool = False,
    event_id: str = "r1",
) -> bytes:
    """A ``ModelInferRequest`` of one UINT8 pixel unless told otherwise."""
    contents = field(4, varint(7)) if typed or raw is None else None
    tensors = tensors or [infer_tensor("UINT8", [1], contents)]
    head = field(1, "digits") + field(3, event_id)
    body = b"".join(field(INPUTS, tensor) for tensor in tensors)
    return head + body + b"".join(field(REQUEST_RAW, data) for data in raw or ())


def infer_response(
    tensors: list[bytes], raw: list[bytes] | None = None, *, event_id: str = "r1"
) -> bytes:
    head = field(1, "digits") + field(2, "3") + field(3, event_id)
    body = b"".join(field(OUTPUTS, tensor) for tensor in tensors)
    return head + body + b"".join(field(RESPONSE_RAW, data) for data in raw or ())


def binary_body(size: int, data: bytes = b"\x00\xff\x07\x08", **members: Any) -> bytes:
    """A V2 request whose single UINT8 tensor lies behind the JSON."""
    tensor = {
        "name": "x",
        "shape": [1, 4],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": size},
        **members,
    }
    return json.dumps({"inputs": [tensor]}).encode() + data
