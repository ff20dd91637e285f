"""Anthropic's messages API: ``system`` and content blocks in, content blocks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import bounded, bounded_count
from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.sampling import Sampling
from streams.decode.texts import failure_code, flat_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.body import Limits
    from streams.decode.document import Document

_MAX_BLOCKS = 4096


class Metadata(msgspec.Struct, gc=False):
    """Whose request it is, as the caller says."""

    user_id: str | None = None


class Message(msgspec.Struct, gc=False):
    """One turn; tool calls stand beside the content where the body is really OpenAI's."""

    content: Any = None
    role: str | None = None
    tool_calls: Any = None


class Request(Sampling, gc=False, kw_only=True):
    """Members of a request that are read."""

    messages: list[Message]
    model: str | None = None
    system: Any = None
    metadata: Metadata | None = None
    user: str | None = None


class Usage(msgspec.Struct, gc=False):
    """Token counts; what was read from the cache was sent all the same."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Response(msgspec.Struct, gc=False):
    """Members of a response, or of the head of a stream."""

    type: str = ""
    content: Any | UnsetType = UNSET
    model: str | None = None
    usage: Usage | None = None
    error: Any = None


class Block(msgspec.Struct, gc=False):
    """A content block, or what an event adds to one."""

    text: str | None = None
    name: str | None = None
    partial_json: str | None = None
    thinking: str | None = None


class Event(msgspec.Struct, gc=False):
    """One event of a stream."""

    type: str = ""
    index: int = 0
    message: Response | None = None
    content_block: Block | None = None
    delta: Block | None = None
    usage: Usage | None = None
    error: Any = None


_REQUEST, _RESPONSE = Shape[Request](Request), Shape[Response](Response)
_EVENTS = Shape[list[Event]](list[Event])


class AnthropicDecoder:
    """Decodes the bodies of ``/v1/messages``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""
        return "messages" in members

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""
        return "type" in members

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body; None without ``messages``."""
        request = body.try_read(_REQUEST)
        if request is None:
            return None
        limit = self._limits.identity_bytes
        said = [request.system]
        for message in request.messages:
            said += (message.content, message.tool_calls)
        texts = [text if type(text) is str else flat_text(text) for text in said if text]
        user = request.metadata.user_id if request.metadata else None
        return RequestBody(
            "chat",
            [RequestRow(prompt="\n".join(filter(None, texts)))],
            model=bounded(request.model, limit),
            user=bounded(user or request.user, limit),
            params=request.params(),
        )

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body; None if it is neither a message nor an error."""
        response = body.try_read(_RESPONSE)
        if response is None or response.type not in ("message", "error"):
            return None
        text = None if isinstance(response.content, UnsetType) else flat_text(response.content)
        return self._answer(response, text, response.usage or Usage())

    def stream(self, chunks: Document) -> ResponseBody | None:
        """Put the deltas of each content block together; None if they are of another format."""
        events = chunks.try_read(_EVENTS)
        if not events or events[0].type not in ("message_start", "error", "ping"):
            return None
        head, usage = Response(), Usage()
        blocks: dict[int, list[str]] = {}
        for event in events:
            if event.message is not None:
                head = event.message
                usage = head.usage or usage
            if event.error is not None:
                head.error = event.error
            if event.usage is not None and event.usage.output_tokens is not None:
                usage.output_tokens = event.usage.output_tokens
            _add(blocks, event)
        text = "\n".join("".join(blocks[index]) for index in sorted(blocks))
        return self._answer(head, text, usage)

    def _answer(self, response: Response, text: str | None, usage: Usage) -> ResponseBody:
        limit = self._limits.identity_bytes
        return ResponseBody(
            [ResponseRow(completion=text)],
            model=bounded(response.model, limit),
            error=failure_code(response.error, limit),
            input_tokens=bounded_count(_input_tokens(usage)),
            output_tokens=bounded_count(usage.output_tokens),
        )


def _input_tokens(usage: Usage) -> int | None:
    """Return all tokens that came in, None if unknown."""
    if usage.input_tokens is None:
        return None
    cached = (usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    return usage.input_tokens + sum(count or 0 for count in cached)


def _add(blocks: dict[int, list[str]], event: Event) -> None:
    for piece in (event.content_block, event.delta):
        if piece is None:
            continue
        for text in (piece.text, piece.thinking, piece.name, piece.partial_json):
            if text:
                if event.index not in blocks and len(blocks) == _MAX_BLOCKS:
                    raise poison("malformed_stream")
                blocks.setdefault(event.index, []).append(text)
                if text is piece.name:
                    blocks[event.index].append(" ")
