"""OpenAI's Responses API: ``input`` and ``instructions`` in, a list of ``output`` items out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import bounded, bounded_count
from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.sampling import Sampling
from streams.decode.texts import failure_code, flat_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.body import Limits
    from streams.decode.document import Document


class Request(Sampling, gc=False, kw_only=True):
    """Members of a request that are read."""

    input: Any | UnsetType = UNSET
    model: str | None = None
    instructions: Any = None
    user: str | None = None
    safety_identifier: str | None = None


class Usage(msgspec.Struct, gc=False):
    """Token counts."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Response(msgspec.Struct, gc=False):
    """Members of a response that are read."""

    output: list[Any] | UnsetType = UNSET
    object: str | None = None
    model: str | None = None
    usage: Usage | None = None
    error: Any = None


class Event(msgspec.Struct, gc=False):
    """One event of a stream; a delta is a text in those that matter."""

    type: str = ""
    response: Response | None = None
    delta: Any = None


_REQUEST, _RESPONSE = Shape[Request](Request), Shape[Response](Response)
_EVENTS = Shape[list[Event]](list[Event])


class OpenAiResponsesDecoder:
    """Decodes the bodies of ``/v1/responses``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""
        return "input" in members and "model" in members

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""
        return "output" in members

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body; None without ``input`` and ``model``."""
        request = body.try_read(_REQUEST)
        if request is None or request.input is UNSET or request.model is None:
            return None
        limit = self._limits.identity_bytes
        texts = map(flat_text, (request.instructions, request.input))
        return RequestBody(
            "chat",
            [RequestRow(prompt="\n".join(text for text in texts if text))],
            model=bounded(request.model, limit),
            user=bounded(request.safety_identifier or request.user, limit),
            params=request.params(),
        )

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body; None if it has no list of ``output``."""
        response = body.try_read(_RESPONSE)
        if response is None or isinstance(response.output, UnsetType):
            return None
        return self._read(response)

    def stream(self, chunks: Document) -> ResponseBody | None:
        """Read the last event that holds the whole response, else add the deltas up."""
        events = chunks.try_read(_EVENTS)
        if not events or not events[0].type.startswith("response."):
            return None
        for event in reversed(events):
            if event.response is not None and event.response.output:
                return self._read(event.response)
        texts = [
            event.delta
            for event in events
            if event.type == "response.output_text.delta" and isinstance(event.delta, str)
        ]
        head = next((event.response for event in events if event.response), Response())
        body = self._read(head)
        body.rows = [ResponseRow(completion="".join(texts))]
        return body

    def _read(self, response: Response) -> ResponseBody:
        usage = response.usage or Usage()
        items = response.output if isinstance(response.output, list) else []
        texts = [flat_text(item) for item in items]
        return ResponseBody(
            [ResponseRow(completion="\n".join(text for text in texts if text))],
            model=bounded(response.model, self._limits.identity_bytes),
            error=failure_code(response.error, self._limits.identity_bytes),
            input_tokens=bounded_count(usage.input_tokens),
            output_tokens=bounded_count(usage.output_tokens),
        )
