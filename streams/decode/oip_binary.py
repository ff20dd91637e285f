"""Open Inference Protocol V2 with the binary tensor extension: JSON, then the tensors' bytes.

The header ``Inference-Header-Content-Length`` tells where the JSON ends. Loggers lose it, so
without it the end of the JSON is found by reading it. Each tensor says in the parameter
``binary_data_size`` how many of the bytes that follow are its own; together they must be all.

References
----------
Triton Inference Server, ``docs/protocol/extension_binary_data.md``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from config.errors import PoisonRecord
from streams.decode.body import bounded
from streams.decode.json_body import check_utf8, decode_json, refuse_duplicate_keys
from streams.decode.model import RequestBody, ResponseBody
from streams.decode.oip_rows import RawTensor, raw_tensor, request_rows, response_rows
from streams.decode.reasons import poison
from streams.decode.remembered import Remembered
from streams.decode.tensor import DATATYPES, flatten, pack

if TYPE_CHECKING:
    from streams.decode.body import Limits

#: A body without this text has no binary tensors.
SIGN = b'"binary_data_size"'
#: Sizes that are added up to guess where the JSON ends, and what may stand around one.
_MAX_TOLD, _MAX_DIGITS = 64, 16


class _Parameters(msgspec.Struct, gc=False):
    binary_data_size: int | None = None


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | UnsetType = UNSET
    parameters: _Parameters | None = None


class _Request(msgspec.Struct, gc=False):
    inputs: list[_Tensor]


class _Response(msgspec.Struct, gc=False):
    outputs: list[_Tensor]
    model_name: str | None = None
    model_version: str | None = None


T = TypeVar("T", _Request, _Response)


class OipBinaryDecoder:
    """Decodes bodies that are JSON and bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = _HeadReader[_Request](_Request)
        self._responses = _HeadReader[_Response](_Response)

    def request(self, body: bytes, json_bytes: int | None) -> RequestBody:
        """Decode a request; ``json_bytes`` is the length of its JSON, None if not told.

        Raises
        ------
        PoisonRecord
            If JSON, lengths or tensors are wrong.
        """
        request, rest = self._requests.split(body, json_bytes)
        rows = request_rows(self._tensors(request.inputs, rest), self._limits)
        count = len(request.inputs)
        return RequestBody("predict", rows, params={"inputs": str(count)} if count > 1 else None)

    def response(self, body: bytes, json_bytes: int | None) -> ResponseBody:
        """Decode a response, as `request`.

        Raises
        ------
        PoisonRecord
            If JSON, lengths or tensors are wrong.
        """
        response, rest = self._responses.split(body, json_bytes)
        rows = response_rows(self._tensors(response.outputs, rest), self._limits)
        limit = self._limits.identity_bytes
        return ResponseBody(
            rows,
            model=bounded(response.model_name, limit),
            model_version=bounded(response.model_version, limit),
        )

    def _tensors(self, tensors: list[_Tensor], rest: bytes) -> list[RawTensor]:
        made, at = [], 0
        for tensor in tensors:
            size = tensor.parameters.binary_data_size if tensor.parameters else None
            if size is None:
                data = self._packed(tensor)
            elif size < 0 or tensor.data is not UNSET or size > len(rest) - at:
                raise poison("bad_binary_length")
            else:
                data, at = rest[at : at + size], at + size
            made.append(raw_tensor(tensor.name, tensor.shape, tensor.datatype, data, self._limits))
        if at != len(rest):
            raise poison("bad_binary_length")
        return made

    def _packed(self, tensor: _Tensor) -> bytes:
        """Return the bytes of a tensor that came as JSON beside binary ones."""
        if tensor.data is UNSET or isinstance(tensor.data, UnsetType):
            raise poison("missing_data")
        values = flatten(tensor.data, self._limits.elements)
        if tensor.datatype == "BYTES":
            if not all(isinstance(value, str) for value in values):
                raise poison("wrong_value_type")
            texts = [value.encode() for value in values]
            return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        if tensor.datatype not in DATATYPES:
            raise poison("unknown_datatype")
        return pack(values, tensor.datatype)


class _HeadReader(Generic[T]):
    """Reads the JSON before the bytes, and remembers it: many calls of a client repeat it.

    Parameters
    ----------
    type_
        What it is read as; nobody may change it.
    """

    def __init__(self, type_: type[T]) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type_)
        self._known: Remembered[T] = Remembered(self._read)

    def split(self, body: bytes, json_bytes: int | None) -> tuple[T, bytes]:
        """Return what the JSON says, and the bytes behind it.

        Raises
        ------
        PoisonRecord
            If there is no JSON of the type, or not so much.
        """
        if json_bytes is not None:
            if json_bytes > len(body):
                raise poison("bad_binary_length")
            return self._known.of(body[:json_bytes]), body[json_bytes:]
        told = _told_length(body)
        try:
            return self._known.of(body[:told]), body[told:]
        except PoisonRecord:
            length = _json_length(body)
            return self._known.of(body[:length]), body[length:]

    def _read(self, head: bytes) -> T:
        check_utf8(head)
        decoded = decode_json(self._decoder, head)
        refuse_duplicate_keys(head, -1)
        return decoded


def _told_length(body: bytes) -> int:
    """Return where the JSON ends if all sizes in it are as they are usually written, else 0.

    No JSON object begins another one: if one ends there, it is the one that the body begins with.
    """
    size, at = 0, body.find(SIGN)
    for _ in range(_MAX_TOLD):
        if at < 0:
            return max(len(body) - size, 0)
        start = at + len(SIGN)
        digits = body[start : start + _MAX_DIGITS].lstrip(b": ").partition(b"}")[0]
        if not digits.isdigit():
            return 0
        size += int(digits)
        at = body.find(SIGN, start)
    return 0


def _json_length(body: bytes) -> int:
    """Find where the JSON ends; Latin-1 keeps every byte at its place."""
    try:
        _, end = json.JSONDecoder(parse_int=len, parse_float=len).raw_decode(body.decode("latin-1"))
    except RecursionError:
        raise poison("too_deep") from None
    except ValueError:
        raise poison("malformed_json") from None
    return end
