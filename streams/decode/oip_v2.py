"""Open Inference Protocol V2 as JSON: ``inputs`` and ``outputs`` of named tensors.

The usual body (flat data, no parameters) is decoded in one typed pass; nested data, strings and
booleans take a second look with looser types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import INT32_MAX, bounded
from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.tensor import DATATYPES, FLOATS, element_count, flatten, pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.decode.body import Limits
    from streams.decode.document import Document

#: More values per row than this are no class scores (a segmentation, a generated image).
MAX_SCORES = 4096
SCORE_NAMES = frozenset(
    {"probabilities", "probability", "probs", "scores", "score", "logits", "output", "outputs"}
)
LABEL_NAMES = frozenset({"label", "labels", "class", "classes", "class_id", "prediction"})
_TENSOR_MEMBERS = 4
_ITEM_BYTES = {"BYTES": 1, **{name: item_bytes for name, (_, _, item_bytes) in DATATYPES.items()}}


class Tensor(msgspec.Struct, gc=False):
    """A tensor with flat numeric data."""

    name: str
    shape: list[int]
    datatype: str
    data: list[int | float]


class LooseTensor(msgspec.Struct, gc=False):
    """A tensor with any data."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | UnsetType = UNSET


class Request(msgspec.Struct, gc=False):
    """The members of a request that are read."""

    inputs: list[Tensor]
    id: str | UnsetType | None = UNSET


class LooseRequest(msgspec.Struct, gc=False):
    """A request with any tensors."""

    inputs: list[LooseTensor]


class Response(msgspec.Struct, gc=False):
    """The members of a response that are read."""

    outputs: list[Tensor]
    id: str | UnsetType | None = UNSET
    model_name: str | UnsetType | None = UNSET
    model_version: str | UnsetType | None = UNSET


class LooseResponse(msgspec.Struct, gc=False):
    """A response with any tensors."""

    outputs: list[LooseTensor]
    model_name: str | None = None
    model_version: str | None = None


class Failure(msgspec.Struct, gc=False):
    """The protocol's error body."""

    error: str


class Complete(msgspec.Struct, gc=False):
    """A request with its response."""

    request: Request
    response: Response


_COMPLETE, _FAILURE = Shape[Complete](Complete), Shape[Failure](Failure)
_REQUEST, _LOOSE_REQUEST = Shape[Request](Request), Shape[LooseRequest](LooseRequest)
_RESPONSE, _LOOSE_RESPONSE = Shape[Response](Response), Shape[LooseResponse](LooseResponse)


class OipV2Decoder:
    """Decodes Open Inference Protocol V2 JSON bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""
        return "inputs" in members

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""
        return "outputs" in members or "error" in members

    def complete(self, body: Document) -> tuple[RequestBody, ResponseBody] | None:
        """Decode a complete event; None if it is not the usual kind of one."""
        event = body.try_read(_COMPLETE)
        if event is None:
            return None
        return self._read_request(event.request), self._read_response(event.response)

    def stream(self, chunks: Document) -> None:
        """Leave streams to others: the protocol has none."""

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body; None if it has no ``inputs``."""
        usual = body.try_read(_REQUEST)
        if usual is not None:
            return self._read_request(usual)
        if "inputs" not in body.members():
            return None
        loose = body.read(_LOOSE_REQUEST)
        return RequestBody("predict", self._request_rows(loose.inputs), params=_extra(loose.inputs))

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body; None if it has neither ``outputs`` nor an error text."""
        usual = body.try_read(_RESPONSE)
        if usual is not None:
            return self._read_response(usual)
        if "outputs" in body.members():
            loose = body.read(_LOOSE_RESPONSE)
            return self._named(
                ResponseBody(self._response_rows(loose.outputs)),
                loose.model_name,
                loose.model_version,
            )
        failure = body.try_read(_FAILURE)
        if failure is None:
            return None
        return ResponseBody([ResponseRow()], error=failure.error[: self._limits.identity_bytes])

    def _read_request(self, request: Request) -> RequestBody:
        inputs = request.inputs
        body = RequestBody("predict", self._request_rows(inputs), params=_extra(inputs))
        body.members = 1 + _TENSOR_MEMBERS * len(inputs) + _optional(request.id)
        return body

    def _read_response(self, response: Response) -> ResponseBody:
        outputs, name, version = response.outputs, response.model_name, response.model_version
        body = ResponseBody(self._response_rows(outputs))
        body.members = (
            1
            + _TENSOR_MEMBERS * len(outputs)
            + _optional(response.id)
            + _optional(name)
            + _optional(version)
        )
        return self._named(body, name or None, version or None)

    def _named(self, body: ResponseBody, model: str | None, version: str | None) -> ResponseBody:
        limit = self._limits.identity_bytes
        body.model, body.model_version = bounded(model, limit), bounded(version, limit)
        return body

    def _request_rows(self, inputs: Sequence[Tensor | LooseTensor]) -> list[RequestRow]:
        if not inputs:
            raise poison("wrong_type")
        payload = inputs[0]
        for tensor in inputs[1:]:
            if len(self._values(tensor)) > len(self._values(payload)):
                payload = tensor
        values, shape = self._values(payload), payload.shape
        if payload.datatype == "BYTES":
            return self._text_rows(values)
        rows = shape[0] if len(shape) > 1 else 1
        if rows > self._limits.rows:
            raise poison("too_many_rows")
        _, dtype, item_bytes = DATATYPES[payload.datatype]
        packed = pack(values, payload.datatype)
        row_shape = shape[1:] if len(shape) > 1 else shape
        if rows == 1:
            return [RequestRow(packed, row_shape, dtype)]
        stride = len(values) // rows * item_bytes
        return [
            RequestRow(packed[start : start + stride], row_shape, dtype)
            for start in range(0, len(packed), stride)
        ]

    def _text_rows(self, values: list[Any]) -> list[RequestRow]:
        if len(values) > self._limits.rows:
            raise poison("too_many_rows")
        if not all(isinstance(value, str) for value in values):
            raise poison("wrong_value_type")
        return [RequestRow(prompt=value) for value in values]

    def _response_rows(self, outputs: Sequence[Tensor | LooseTensor]) -> list[ResponseRow]:
        scores, labels = _pick(outputs)
        score_rows = self._score_rows(scores) if scores else []
        label_rows = self._label_rows(labels) if labels else []
        if score_rows and not label_rows:
            label_rows = [row.index(max(row)) for row in score_rows]
        if score_rows and len(label_rows) != len(score_rows):
            raise poison("row_mismatch")
        if len(label_rows) > self._limits.rows:
            raise poison("too_many_rows")
        if not score_rows:
            return [ResponseRow(label=label) for label in label_rows] or [ResponseRow()]
        return [
            ResponseRow(pack(row, "FP32") if len(row) <= MAX_SCORES else None, label)
            for row, label in zip(score_rows, label_rows, strict=True)
        ]

    def _score_rows(self, tensor: Tensor | LooseTensor) -> list[list[Any]]:
        values, shape = self._values(tensor), tensor.shape
        if len(shape) == 1 or shape[0] == 1:
            return [values]
        width = len(values) // shape[0]
        return [values[start : start + width] for start in range(0, len(values), width)]

    def _label_rows(self, tensor: Tensor | LooseTensor) -> list[int]:
        values = self._values(tensor)
        for value in values:
            if type(value) is not int:
                raise poison("wrong_value_type")
            if not -INT32_MAX <= value <= INT32_MAX:
                raise poison("int_out_of_range")
        return values

    def _values(self, tensor: Tensor | LooseTensor) -> list[Any]:
        """Return the tensor's flat values once shape and datatype agree with them."""
        if tensor.datatype not in _ITEM_BYTES:
            raise poison("unknown_datatype")
        count = element_count(tensor.shape, self._limits.elements)
        if count * _ITEM_BYTES[tensor.datatype] > self._limits.tensor_bytes:
            raise poison("too_many_elements")
        data = tensor.data
        if data is UNSET:
            raise poison("missing_data")
        if type(tensor) is LooseTensor:
            data = flatten(data, self._limits.elements)
            _refuse_strangers(data, tensor.datatype)
        if len(data) != count:
            raise poison("shape_mismatch")
        return data


def _refuse_strangers(values: list[Any], datatype: str) -> None:
    """Refuse booleans among numbers, which Python would take for 0 and 1."""
    if datatype == "BYTES":
        return
    allowed = {bool} if datatype == "BOOL" else {int, float}
    if not set(map(type, values)) <= allowed:
        raise poison("wrong_value_type")


def _pick(
    outputs: Sequence[Tensor | LooseTensor],
) -> tuple[Tensor | LooseTensor | None, Tensor | LooseTensor | None]:
    """Return scores and labels: the tensor of a telling name, else the first of the kind."""
    scores = labels = None
    for tensor in outputs:
        if tensor.datatype in FLOATS:
            if scores is None or _tells_more(tensor, scores, SCORE_NAMES):
                scores = tensor
        elif "INT" in tensor.datatype and (
            labels is None or _tells_more(tensor, labels, LABEL_NAMES)
        ):
            labels = tensor
    return scores, labels


def _tells_more(
    tensor: Tensor | LooseTensor, other: Tensor | LooseTensor, names: frozenset[str]
) -> bool:
    return tensor.name.lower() in names and other.name.lower() not in names


def _extra(inputs: Sequence[Tensor | LooseTensor]) -> dict[str, str] | None:
    return {"inputs": str(len(inputs))} if len(inputs) > 1 else None


def _optional(value: str | UnsetType | None) -> int:
    """Count the colons that an optional text member brings with it."""
    if value is UNSET:
        return 0
    return 1 + value.count(":") if value else 1
