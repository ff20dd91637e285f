"""Bytes of a body to what they say, whatever the content type claims.

A logger may write the request's content type on the response, so what a body is, is told by
its own first bytes; the content type only decides between formats that have no signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from config.errors import PoisonRecord
from streams.decode import oip_binary
from streams.decode.json_body import (
    check_utf8,
    decode_json,
    refuse_duplicate_keys,
    try_decode_json,
)
from streams.decode.media import Media, media_of
from streams.decode.model import Part, RequestBody, ResponseBody
from streams.decode.oip_protobuf import OipProtobufDecoder
from streams.decode.oip_v2 import OipV2Decoder
from streams.decode.reasons import poison
from streams.decode.signs import Signs
from streams.decode.sse import is_stream, join_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.decode.body import BodyDecoder, Limits
    from streams.decode.json_body import Body

_JSON_BEGINNINGS = (b"{", b"[")
_JSON_ENDS = (b"}", b"]", b" ", b"\t", b"\r", b"\n")
_NULL = b"null"
#: What tensors have in their beginning; those that have it later are read too, in more passes.
_TENSORS = b'puts"'  # of inputs and of outputs
_HEAD_BYTES = 64
#: Of JSON that is no object.
_NO_SIGNS = Signs()

T = TypeVar("T", RequestBody, ResponseBody)
_Reader = tuple[Callable[[Signs], bool], Callable[["Body"], T | None]]


class _Halves(msgspec.Struct, gc=False):
    request: msgspec.Raw
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


#: Both halves of a body; one that it does not hold is None.
Bodies = tuple[RequestBody | None, ResponseBody | None]


class BodyReader:
    """Reads bodies in every format there is.

    Parameters
    ----------
    limits
        Bounds.
    formats
        JSON formats in the order they are tried.
    """

    def __init__(self, limits: Limits, formats: Sequence[Callable[[Limits], BodyDecoder]]) -> None:
        self.limits = limits
        self.protobuf = OipProtobufDecoder(limits)
        self._binary = oip_binary.OipBinaryDecoder(limits)
        self._tensors = OipV2Decoder(limits)
        self._formats = [make(limits) for make in formats]
        self._asking = [(item.asks, item.request) for item in self._formats]
        self._answering = [(item.answers, item.response) for item in self._formats]
        self._signs = msgspec.json.Decoder(Signs)
        self._halves = msgspec.json.Decoder(_Halves)
        self._text = msgspec.json.Decoder(str)

    def read_complete(self, body: bytes, content_type: str | None) -> Bodies:
        """Return both halves of ``{"request": ..., "response": ...}``.

        Raises
        ------
        PoisonRecord
            If a half is in no format that is known, or malformed.
        """
        if content_type != "application/json" and media_of(content_type) is not Media.JSON:
            raise poison("wrong_content_type")
        check_utf8(body)
        request, response = self._complete(body)
        refuse_duplicate_keys(body, _sum_members(request, response))
        return request, response

    def read(
        self, part: Part, body: bytes, content_type: str | None, json_bytes: int | None = None
    ) -> Bodies:
        """Return what the body of one half says.

        Parameters
        ----------
        part
            Which half it is.
        body
            The bytes.
        content_type
            What the envelope says of it; None if nothing.
        json_bytes
            Length of the JSON before binary tensors, None where no header tells it.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        if not body.startswith(_JSON_BEGINNINGS):
            other = self._read_other(part, body, content_type)
            if other is not None:
                return other
        if part is Part.REQUEST:
            _check_request_type(content_type, body)
        if not body.endswith(_JSON_ENDS) and oip_binary.SIGN in body:
            return self._read_binary(part, body, json_bytes)
        try:
            return self.read_json(part, body)
        except PoisonRecord:
            # A logger that drops headers and types leaves only this sign of binary tensors.
            if oip_binary.SIGN not in body:
                raise
        return self._read_binary(part, body, json_bytes)

    def _read_other(self, part: Part, body: bytes, content_type: str | None) -> Bodies | None:
        """Read what does not begin like JSON; None leaves it to the JSON decoder's reasons."""
        if part is Part.RESPONSE and is_stream(body):
            return None, self.read_stream(body)
        if media_of(content_type) is not Media.PROTOBUF:
            return None
        if part is Part.REQUEST:
            return self.protobuf.request(body).request, None
        return None, self.protobuf.response(body).response

    def _read_binary(self, part: Part, body: bytes, json_bytes: int | None) -> Bodies:
        if part is Part.REQUEST:
            return self._binary.request(body, json_bytes), None
        return None, self._binary.response(body, json_bytes)

    def read_json(self, part: Part, body: bytes) -> Bodies:
        """Read one half in JSON.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        check_utf8(body)
        request: RequestBody | None = None
        response: ResponseBody | None = None
        if part is Part.REQUEST:
            request = self.request(body)
            members = request.members
        else:
            response = self.response(body)
            members = response.members
        refuse_duplicate_keys(body, members)
        return request, response

    def read_stream(self, body: bytes) -> ResponseBody:
        """Read a streamed answer that was logged as one blob.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        check_utf8(body)
        chunks = join_chunks(body)
        for body_format in self._formats:
            response = body_format.stream(chunks)
            if response is not None:
                refuse_duplicate_keys(chunks, -1)
                return response
        raise poison("malformed_stream")

    def request(self, body: Body) -> RequestBody:
        """Read a request in JSON, leaving duplicate keys to the caller.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        return self._first(self._asking, body)

    def response(self, body: Body) -> ResponseBody:
        """Read a response in JSON, leaving duplicate keys to the caller.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        return self._first(self._answering, body)

    def _first(self, readers: Sequence[_Reader[T]], body: Body) -> T:
        """Return what the first format reads that knows the body by its signs."""
        # tensors are the first format: many numbers need no pass that only skips them
        if _TENSORS in bytes(memoryview(body)[:_HEAD_BYTES]):
            _, read = readers[0]
            found = read(body)
            if found is not None:
                return found
        signs = try_decode_json(self._signs, body) or _NO_SIGNS
        for knows, read in readers:
            found = read(body) if knows(signs) else None
            if found is not None:
                return found
        raise poison("unknown_format")

    def _complete(self, value: bytes) -> tuple[RequestBody | None, ResponseBody | None]:
        """Return both halves; a request that was refused unread may be null beside its error."""
        if _TENSORS in value[:_HEAD_BYTES]:
            both = self._tensors.complete(value)
            if both is not None:
                return both
        halves = decode_json(self._halves, value)
        answer = halves.response
        if bytes(halves.request) == _NULL:
            return None, self._refusal(answer)
        request = self.request(halves.request)
        request.members = -1
        if isinstance(answer, msgspec.UnsetType) or bytes(answer) == _NULL:
            return request, None  # refused before the model, or nothing came back
        return request, self._answer(answer)

    def _answer(self, answer: msgspec.Raw) -> ResponseBody:
        """Read an answer; a text is a stream that a gateway logged as it passed."""
        if bytes(memoryview(answer)[:1]) != b'"':
            return self.response(answer)
        return self.read_stream(decode_json(self._text, answer).encode())

    def _refusal(self, answer: msgspec.Raw | msgspec.UnsetType) -> ResponseBody:
        if not isinstance(answer, msgspec.UnsetType):
            response = self.response(answer)
            if response.error is not None:
                return response
        raise poison("wrong_type")


def _check_request_type(content_type: str | None, body: bytes) -> None:
    """Refuse what a request says that it is not; an answer may carry its request's type."""
    media = media_of(content_type)
    if media is Media.BINARY and oip_binary.SIGN in body:
        return
    if media is not Media.JSON:
        raise poison("wrong_content_type")


def _sum_members(request: RequestBody | None, response: ResponseBody | None) -> int:
    if request is None or response is None or request.members < 0 or response.members < 0:
        return -1
    return 2 + request.members + response.members
