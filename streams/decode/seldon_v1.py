"""Seldon Core v1 bodies: ``{"data": {"names": [..], "ndarray": [..]}}``, for both halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.tensor import element_count
from streams.decode.v1 import V1Decoder, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.body import Limits
    from streams.decode.document import Document


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


_MESSAGE = Shape[_Message](_Message)


class SeldonV1Decoder:
    """Decodes ``SeldonMessage`` as JSON."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rows = V1Decoder(limits)

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""
        return "data" in members or "strData" in members

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""
        return self.asks(members) or "status" in members

    def stream(self, chunks: Document) -> None:
        """Leave streams to others: the protocol has none."""

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body; None if it holds no data of Seldon's."""
        message = body.try_read(_MESSAGE)
        if message is None:
            return None
        if message.strData is not None:
            return RequestBody("predict", [RequestRow(prompt=message.strData)])
        samples = self._samples(message)
        return None if samples is None else RequestBody("predict", self._rows.rows(samples))

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body; None if it holds no data of Seldon's."""
        message = body.try_read(_MESSAGE)
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
