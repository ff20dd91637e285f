"""Bytes of a body to what they say, whatever the content type claims.

A logger may write the request's content type on the response, so what a body is, is told by
its own first bytes; the content type only decides between formats that have no signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from config.errors import PoisonRecord
from streams.decode import oip_binary
from streams.decode.document import Document
from streams.decode.json_body import check_utf8
from streams.decode.media import Media, media_of
from streams.decode.model import Part, RequestBody, ResponseBody
from streams.decode.oip_protobuf import OipProtobufDecoder
from streams.decode.oip_v2 import OipV2Decoder
from streams.decode.reasons import poison
from streams.decode.sse import is_stream, join_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.decode.body import BodyDecoder, Limits

_JSON_BEGINNINGS = (b"{", b"[")
_JSON_ENDS = (b"}", b"]", b" ", b"\t", b"\r", b"\n")
#: What tensors have in their beginning; those that have it later are read too, in more passes.
_TENSORS = b'puts"'  # of inputs and of outputs
_HEAD_BYTES = 64

T = TypeVar("T", RequestBody, ResponseBody)
_Reader = tuple[Callable[["Mapping[str, Any]"], bool], Callable[[Document], T | None]]


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

    def read_complete(self, body: Document, content_type: str | None) -> Bodies:
        """Return both halves of ``{"request": ..., "response": ...}``.

        Raises
        ------
        PoisonRecord
            If a half is in no format that is known, or malformed.
        """
        if content_type != "application/json" and media_of(content_type) is not Media.JSON:
            raise poison("wrong_content_type")
        body.check_utf8()
        request, response = self._complete(body)
        body.refuse_duplicates(_sum_members(request, response))
        return request, response

    def read(
        self, part: Part, body: Document, content_type: str | None, json_bytes: int | None = None
    ) -> Bodies:
        """Return what the body of one half says.

        Parameters
        ----------
        part
            Which half it is.
        body
            The bytes, or what they were parsed to.
        content_type
            What the envelope says of it; None if nothing.
        json_bytes
            Length of the JSON before binary tensors, None where no header tells it.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        text = body.text
        if text is not None and not text.startswith(_JSON_BEGINNINGS):
            other = self._read_other(part, text, content_type)
            if other is not None:
                return other
        if part is Part.REQUEST and content_type != "application/json":
            _check_request_type(content_type, text or b"")
        if text is None:
            return self.read_json(part, body)
        if not text.endswith(_JSON_ENDS) and oip_binary.SIGN in text:
            return self._read_binary(part, text, json_bytes)
        try:
            return self.read_json(part, body)
        except PoisonRecord:
            # A logger that drops headers and types leaves only this sign of binary tensors.
            if oip_binary.SIGN not in text:
                raise
        return self._read_binary(part, text, json_bytes)

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

    def read_json(self, part: Part, body: Document) -> Bodies:
        """Read one half in JSON.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        body.check_utf8()
        request: RequestBody | None = None
        response: ResponseBody | None = None
        if part is Part.REQUEST:
            request = self._first(self._asking, body)
            members = request.members
        else:
            response = self._first(self._answering, body)
            members = response.members
        body.refuse_duplicates(members)
        return request, response

    def read_stream(self, body: bytes) -> ResponseBody:
        """Read a streamed answer that was logged as one blob.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        check_utf8(body)
        chunks = Document(join_chunks(body))
        for body_format in self._formats:
            response = body_format.stream(chunks)
            if response is not None:
                chunks.refuse_duplicates()
                return response
        raise poison("malformed_stream")

    def response(self, body: Document) -> ResponseBody:
        """Read a response in JSON, leaving duplicate keys to the caller.

        Raises
        ------
        PoisonRecord
            If it is in no format that is known, or malformed.
        """
        return self._first(self._answering, body)

    def _first(self, readers: Sequence[_Reader[T]], body: Document) -> T:
        """Return what the first format reads that knows the body by its members."""
        # tensors are the first format: many numbers need no pass that only looks at members
        if body.text is not None and _TENSORS in body.text[:_HEAD_BYTES]:
            _, read = readers[0]
            found = read(body)
            if found is not None:
                return found
        members = body.members()
        for knows, read in readers:
            found = read(body) if knows(members) else None
            if found is not None:
                return found
        raise poison("unknown_format")

    def _complete(self, body: Document) -> Bodies:
        """Return both halves; a request that was refused unread may be null beside its error."""
        if body.text is not None and _TENSORS in body.text[:_HEAD_BYTES]:
            both = self._tensors.complete(body)
            if both is not None:
                return both
        asked, answer = body.member("request"), body.member("response")
        if asked is None:
            raise poison("wrong_type")
        if asked.is_null():
            return None, self._refusal(answer)
        request = self._first(self._asking, asked)
        request.members = -1
        if answer is None or answer.is_null():
            return request, None  # refused before the model, or nothing came back
        return request, self._answer(answer)

    def _answer(self, answer: Document) -> ResponseBody:
        """Read an answer; a text is a stream that a gateway logged as it passed."""
        stream = answer.as_text()
        return self.response(answer) if stream is None else self.read_stream(stream.encode())

    def _refusal(self, answer: Document | None) -> ResponseBody:
        if answer is not None:
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
