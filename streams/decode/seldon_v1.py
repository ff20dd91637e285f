"""Seldon Core v1 bodies: ``{"data": {"names": [..], "ndarray": [..]}}``, for both halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from streams.decode.json_body import try_decode_json
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.tensor import element_count
from streams.decode.v1 import V1Decoder, answer

if TYPE_CHECKING:
    from streams.decode.body import Limits
    from streams.decode.json_body import Body
    from streams.decode.signs import Signs


class _Tensor(msgspec.Struct, gc=False):
    shape: list[int]
    values: list[Any]


class _Data(msgspec.Struct, gc=False):
    ndarray: list[Any] | None = None
    tensor: _Tensor | None = None


class _Status(msgspec.Struct, gc=False):
    status: str | int | None = None
    reason: str | None = None


class _Message(msgspec.Struct, gc=False):
    data: _Data | None = None
    strData: str | None = None  # noqa: N815 - the wire's name
    status: _Status | None = None


class SeldonV1Decoder:
    """Decodes ``SeldonMessage`` as JSON."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rows = V1Decoder(limits)
        self._message = msgspec.json.Decoder(_Message)

    def asks(self, signs: Signs) -> bool:
        """Say whether a body may be a request of this format."""
        return signs.data is not UNSET or signs.strData is not UNSET

    def answers(self, signs: Signs) -> bool:
        """Say whether a body may be a response of this format."""
        return self.asks(signs) or signs.status is not UNSET

    def stream(self, chunks: bytes) -> None:
        """Leave streams to others: the protocol has none."""

    def request(self, body: Body) -> RequestBody | None:
        """Decode a request body; None if it holds no data of Seldon's."""
        message = try_decode_json(self._message, body)
        if message is None:
            return None
        if message.strData is not None:
            return RequestBody("predict", [RequestRow(prompt=message.strData)])
        samples = self._samples(message)
        return None if samples is None else RequestBody("predict", self._rows.rows(samples))

    def response(self, body: Body) -> ResponseBody | None:
        """Decode a response body; None if it holds no data of Seldon's."""
        message = try_decode_json(self._message, body)
        if message is None:
            return None
        if message.strData is not None:
            return ResponseBody([ResponseRow(completion=message.strData)])
        samples = self._samples(message)
        if samples is None:
            return self._failure(message)
        if len(samples) > self._limits.rows:
            raise poison("too_many_rows")
        return ResponseBody([answer(sample) for sample in samples])

    def _failure(self, message: _Message) -> ResponseBody | None:
        if message.status is None or not message.status.reason:
            return None
        return ResponseBody(
            [ResponseRow()], error=message.status.reason[: self._limits.identity_bytes]
        )

    def _samples(self, message: _Message) -> list[Any] | None:
        data = message.data
        if data is None:
            return None
        if data.ndarray is not None:
            return data.ndarray
        if data.tensor is None:
            return None
        shape, values = data.tensor.shape, data.tensor.values
        if element_count(shape, self._limits.elements) != len(values):
            raise poison("shape_mismatch")
        width = len(values) // shape[0]
        return [values[start : start + width] for start in range(0, len(values), width)]
