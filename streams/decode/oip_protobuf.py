"""Open Inference Protocol V2 as protobuf: ``ModelInferRequest`` and ``ModelInferResponse``.

Read natively, without a detour over JSON. A tensor's values are in ``raw_*_contents`` or in its
typed ``contents``, never in both.

References
----------
kserve/open-inference-protocol, ``specification/protocol/open_inference_grpc.proto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.decode.body import bounded
from streams.decode.model import RequestBody, ResponseBody
from streams.decode.oip_rows import RawTensor, raw_tensor, request_rows, response_rows
from streams.decode.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    as_bytes,
    as_signed,
    as_text,
    packed_fixed,
    packed_varints,
    read_fields,
)
from streams.decode.reasons import poison
from streams.decode.tensor import DATATYPES, element_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.decode.body import Limits
    from streams.decode.protobuf import Value

_MODEL_NAME, _MODEL_VERSION, _ID, _REQUEST_INPUTS, _REQUEST_RAW = 1, 2, 3, 5, 7
_RESPONSE_OUTPUTS, _RESPONSE_RAW = 5, 6
_NAME, _DATATYPE, _SHAPE, _CONTENTS = 1, 2, 3, 5
_BYTES_CONTENTS = 8
#: No model has more; a record of nothing but empty tensors would cost seconds.
_MAX_TENSORS = 1024
_MAX_DIMENSIONS = 64
#: How the typed contents that are no varints are coded.
_CODINGS = {6: "<f4", 7: "<f8"}
#: Which typed contents hold which datatypes.
_CONTENTS_OF = {
    "BOOL": 1,
    "INT8": 2,
    "INT16": 2,
    "INT32": 2,
    "INT64": 3,
    "UINT8": 4,
    "UINT16": 4,
    "UINT32": 4,
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    "BYTES": _BYTES_CONTENTS,
}


class _Message(NamedTuple):
    model: str | None
    version: str | None
    id: str | None
    tensors: list[bytes]
    raw: list[bytes]


class InferMessage(NamedTuple):
    """A decoded message: one of the two bodies, and its own id."""

    id: str | None
    request: RequestBody | None = None
    response: ResponseBody | None = None


class OipProtobufDecoder:
    """Decodes the messages of the inference call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def request(self, data: bytes) -> InferMessage:
        """Decode a ``ModelInferRequest``.

        Raises
        ------
        PoisonRecord
            If it is none, or its tensors are wrong.
        """
        message = self._read(data, _REQUEST_INPUTS, _REQUEST_RAW)
        rows = request_rows(self._tensors(message), self._limits)
        params = {"inputs": str(len(message.tensors))} if len(message.tensors) > 1 else None
        body = RequestBody("predict", rows, model=message.model, params=params)
        return InferMessage(message.id, request=body)

    def response(self, data: bytes) -> InferMessage:
        """Decode a ``ModelInferResponse``.

        Raises
        ------
        PoisonRecord
            If it is none, or its tensors are wrong.
        """
        message = self._read(data, _RESPONSE_OUTPUTS, _RESPONSE_RAW)
        rows = response_rows(self._tensors(message), self._limits)
        body = ResponseBody(rows, model=message.model, model_version=message.version)
        return InferMessage(message.id, response=body)

    def _read(self, data: bytes, tensors_field: int, raw_field: int) -> _Message:
        limit = self._limits.identity_bytes
        texts: dict[int, str] = {}
        tensors: list[bytes] = []
        raw: list[bytes] = []
        for number, _, value in read_fields(data):
            if number in (_MODEL_NAME, _MODEL_VERSION, _ID):
                texts[number] = as_text(value, limit)
            elif number == tensors_field:
                tensors.append(as_bytes(value))
            elif number == raw_field:
                raw.append(as_bytes(value))
        if len(tensors) > _MAX_TENSORS:
            raise poison("too_many_fields")
        model = bounded(texts.get(_MODEL_NAME), limit) or None
        return _Message(model, texts.get(_MODEL_VERSION) or None, texts.get(_ID), tensors, raw)

    def _tensors(self, message: _Message) -> list[RawTensor]:
        if message.raw and len(message.raw) != len(message.tensors):
            raise poison("shape_mismatch")
        raws: list[bytes | None] = list(message.raw) or [None] * len(message.tensors)
        return [
            self._tensor(tensor, raw) for tensor, raw in zip(message.tensors, raws, strict=True)
        ]

    def _tensor(self, data: bytes, raw: bytes | None) -> RawTensor:
        name, datatype = "", ""
        shape: list[int] = []
        contents: list[bytes] = []
        for number, wire, value in read_fields(data):
            if number == _NAME:
                name = as_text(value, self._limits.identity_bytes)
            elif number == _DATATYPE:
                datatype = as_text(value, self._limits.identity_bytes)
            elif number == _SHAPE:
                shape += _integers(wire, value)
            elif number == _CONTENTS and len(as_bytes(value)):
                contents.append(as_bytes(value))
        if raw is None:
            return self._typed(name, shape, datatype, contents)
        if contents:
            raise poison("raw_and_typed")
        return raw_tensor(name, shape, datatype, raw, self._limits)

    def _typed(
        self, name: str, shape: list[int], datatype: str, contents: list[bytes]
    ) -> RawTensor:
        wanted = _CONTENTS_OF.get(datatype)
        if wanted is None:  # FP16 and BF16 exist only raw
            raise poison("unknown_datatype" if datatype not in DATATYPES else "missing_data")
        if not contents:
            raise poison("missing_data")
        count = element_count(shape, self._limits.elements)
        fields = [field for part in contents for field in read_fields(part)]
        if any(number != wanted for number, _, _ in fields):
            raise poison("wrong_value_type")
        if wanted == _BYTES_CONTENTS:
            texts = [as_bytes(value) for _, _, value in fields]
            if len(texts) != count:
                raise poison("shape_mismatch")
            return RawTensor(name, shape, "bytes", b"", texts)
        coding = _CODINGS.get(wanted, "varint")
        parts = [_numbers(coding, wire, value, count) for _, wire, value in fields]
        values = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
        if len(values) != count:
            raise poison("shape_mismatch")
        return raw_tensor(name, shape, datatype, _narrowed(values, datatype), self._limits)


def _numbers(coding: str, wire: int, value: Value, limit: int) -> NDArray[Any]:
    """Return the numbers of one field: a packed run of them, or a single one."""
    if wire == BYTES:
        data = as_bytes(value)
        return packed_varints(data, limit) if coding == "varint" else packed_fixed(data, coding)
    wires = {"varint": VARINT, "<f4": FIXED32, "<f8": FIXED64}
    if wire != wires[coding] or not isinstance(value, int):
        raise poison("malformed_protobuf")
    if coding == "varint":
        return np.array([value], np.uint64)
    return np.array([value], "<u4" if coding == "<f4" else "<u8").view(coding)


def _narrowed(values: NDArray[Any], datatype: str) -> bytes:
    """Bring 64-bit numbers of the wire to the tensor's own width, refusing what does not fit."""
    dtype = np.dtype(DATATYPES[datatype][1]).newbyteorder("<")
    if values.dtype.kind == "f":
        return values.astype(dtype).tobytes()
    if dtype.kind == "i":
        values = values.view(np.int64)
    if dtype.kind == "b":
        if (values > 1).any():
            raise poison("value_out_of_range")
    elif len(values):
        bounds = np.iinfo(dtype)
        if int(values.min()) < bounds.min or int(values.max()) > bounds.max:
            raise poison("value_out_of_range")
    return values.astype(dtype).tobytes()


def _integers(wire: int, value: Value) -> list[int]:
    """Return the dimensions of a shape field, packed or not."""
    if wire == VARINT:
        return [as_signed(value)]
    data = as_bytes(value)
    if len(data) <= _MAX_DIMENSIONS and data.isascii():  # one byte each
        return list(data)
    numbers: list[int] = packed_varints(data, _MAX_DIMENSIONS).view(np.int64).tolist()
    return numbers
