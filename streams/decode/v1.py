"""The V1 prediction protocol: ``instances`` in, ``predictions`` out, one entry a sample.

An instance is a number, a nested list of numbers, a text, ``{"b64": ...}``, or an object of
features. Numbers carry no datatype, so they are kept as FP64, which holds every JSON number.
"""

from __future__ import annotations

import base64
import binascii
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import INT32_MAX
from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.oip_v2 import LABEL_NAMES, MAX_SCORES, SCORE_NAMES
from streams.decode.reasons import poison
from streams.decode.tensor import MAX_DIMENSIONS, flatten, pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.body import Limits
    from streams.decode.document import Document

_FLOAT64_BYTES = 8
_NUMBERS = {int, float}


class _Request(msgspec.Struct, gc=False):
    instances: list[Any]


class _Response(msgspec.Struct, gc=False):
    predictions: list[Any]
    model_name: str | UnsetType | None = UNSET


_REQUEST, _RESPONSE = Shape[_Request](_Request), Shape[_Response](_Response)


class V1Decoder:
    """Decodes V1 JSON bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""
        return "instances" in members

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""
        return "predictions" in members

    def stream(self, chunks: Document) -> None:
        """Leave streams to others: the protocol has none."""

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body; None if it has no list of ``instances``."""
        request = body.try_read(_REQUEST)
        if request is None:
            return None
        members = -1 if any(isinstance(item, dict | str) for item in request.instances) else 1
        return RequestBody("predict", self.rows(request.instances), members)

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body; None if it has no list of ``predictions``."""
        response = body.try_read(_RESPONSE)
        if response is None:
            return None
        self._check_rows(response.predictions)
        return ResponseBody([answer(prediction) for prediction in response.predictions])

    def rows(self, instances: list[Any]) -> list[RequestRow]:
        """Return one row an instance.

        Raises
        ------
        PoisonRecord
            If there are none or too many, or one is malformed or too large.
        """
        self._check_rows(instances)
        return [self._row(instance) for instance in instances]

    def _check_rows(self, rows: list[Any]) -> None:
        if not rows:
            raise poison("wrong_type")
        if len(rows) > self._limits.rows:
            raise poison("too_many_rows")

    def _row(self, instance: Any) -> RequestRow:
        if isinstance(instance, str):
            return RequestRow(prompt=instance)
        if isinstance(instance, dict):
            return self._object_row(instance)
        if not isinstance(instance, list):
            instance = [instance]
        if instance and set(map(type, instance)) == {str}:
            return RequestRow(prompt="\n".join(instance))
        return self._numbers(instance, shape_of(instance))

    def _object_row(self, instance: dict[str, Any]) -> RequestRow:
        encoded = instance.get("b64")
        if isinstance(encoded, str):
            try:
                data = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise poison("wrong_type") from None
            return RequestRow(data, [len(data)], "uint8")
        values = list(instance.values())
        if values and all(_is_number(value) for value in values):
            return self._numbers(values, [len(values)])
        return RequestRow(prompt=msgspec.json.encode(instance).decode())

    def _numbers(self, nested: list[Any], shape: list[int]) -> RequestRow:
        values = flatten(nested, self._limits.elements)
        if len(values) * _FLOAT64_BYTES > self._limits.tensor_bytes:
            raise poison("too_many_elements")
        if not values or not set(map(type, values)) <= _NUMBERS:
            raise poison("wrong_value_type")
        if len(values) != prod(shape):
            raise poison("shape_mismatch")
        return RequestRow(pack(values, "FP64"), shape, "float64")


def answer(prediction: Any) -> ResponseRow:
    """Return the row of one prediction: a class, scores, a text, or an object of these.

    Raises
    ------
    PoisonRecord
        If a number does not fit.
    """
    if isinstance(prediction, dict):
        return _named_answer(prediction)
    if isinstance(prediction, str):
        return ResponseRow(completion=prediction)
    if type(prediction) is int:
        return ResponseRow(label=_label(prediction))
    if isinstance(prediction, float):
        return ResponseRow(scores=pack([prediction], "FP32"))
    if isinstance(prediction, list):
        return _scores(prediction)
    return ResponseRow()


def _named_answer(prediction: dict[str, Any]) -> ResponseRow:
    row = ResponseRow()
    for name, value in prediction.items():
        if name.lower() in SCORE_NAMES and isinstance(value, list) and row.scores is None:
            scored = _scores(value)
            row.scores, row.label = scored.scores, scored.label if row.label is None else row.label
    for name, value in prediction.items():
        if name.lower() in LABEL_NAMES and type(value) is int:
            row.label = _label(value)
    return row


def _scores(values: list[Any]) -> ResponseRow:
    values = flatten(values, MAX_SCORES + 1) if any(map(_is_list, values)) else values
    if not values or len(values) > MAX_SCORES or not all(map(_is_number, values)):
        return ResponseRow()
    if len(values) == 1 and type(values[0]) is int:
        return ResponseRow(label=_label(values[0]))
    return ResponseRow(scores=pack(values, "FP32"), label=values.index(max(values)))


def _label(value: int) -> int:
    if not -INT32_MAX <= value <= INT32_MAX:
        raise poison("int_out_of_range")
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def shape_of(nested: list[Any]) -> list[int]:
    """Return the shape that the first elements of nested lists tell; `flatten` finds ragged ones.

    Raises
    ------
    PoisonRecord
        If the first elements are nested too deeply.
    """
    shape: list[int] = []
    value: Any = nested
    while isinstance(value, list):
        shape.append(len(value))
        if not value or len(shape) > MAX_DIMENSIONS:
            raise poison("bad_shape")
        value = value[0]
    return shape
