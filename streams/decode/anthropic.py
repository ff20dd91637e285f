"""Anthropic's messages API: ``system`` and content blocks in, content blocks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import bounded, bounded_count
from streams.decode.json_body import NULL, is_null, try_decode_json
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.sampling import Sampling
from streams.decode.texts import failure_code, flat_text

if TYPE_CHECKING:
    from streams.decode.body import Limits
    from streams.decode.json_body import Body
    from streams.decode.signs import Signs

_MAX_BLOCKS = 4096


class Metadata(msgspec.Struct, gc=False):
    """Whose request it is, as the caller says."""

    user_id: str | None = None


class Message(msgspec.Struct, gc=False):
    """One turn; tool calls stand beside the content where the body is really OpenAI's."""

    content: msgspec.Raw = NULL
    role: str | None = None
    tool_calls: msgspec.Raw = NULL


class Request(Sampling, gc=False, kw_only=True):
    """Members of a request that are read."""

    messages: list[Message]
    model: str | None = None
    system: msgspec.Raw = NULL
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
    content: msgspec.Raw | UnsetType = UNSET
    model: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NULL


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
    error: msgspec.Raw = NULL


class AnthropicDecoder:
    """Decodes the bodies of ``/v1/messages``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._request = msgspec.json.Decoder(Request)
        self._response = msgspec.json.Decoder(Response)
        self._events = msgspec.json.Decoder(list[Event])

    def asks(self, signs: Signs) -> bool:
        """Say whether a body may be a request of this format."""
        return signs.messages is not UNSET

    def answers(self, signs: Signs) -> bool:
        """Say whether a body may be a response of this format."""
        return signs.type is not UNSET

    def request(self, body: Body) -> RequestBody | None:
        """Decode a request body; None without ``messages``."""
        request = try_decode_json(self._request, body)
        if request is None:
            return None
        limit = self._limits.identity_bytes
        raws = [request.system]
        for message in request.messages:
            raws += (message.content, message.tool_calls)
        texts = [flat_text(raw) for raw in raws if not is_null(raw)]
        return RequestBody(
            "chat",
            [RequestRow(prompt="\n".join(text for text in texts if text))],
            model=bounded(request.model, limit),
            user=bounded((request.metadata or Metadata()).user_id or request.user, limit),
            params=request.params(),
        )

    def response(self, body: Body) -> ResponseBody | None:
        """Decode a response body; None if it is neither a message nor an error."""
        response = try_decode_json(self._response, body)
        if response is None or response.type not in ("message", "error"):
            return None
        text = None if isinstance(response.content, UnsetType) else flat_text(response.content)
        return self._answer(response, text, response.usage or Usage())

    def stream(self, chunks: bytes) -> ResponseBody | None:
        """Put the deltas of each content block together; None if they are of another format."""
        events = try_decode_json(self._events, chunks)
        if not events or events[0].type not in ("message_start", "error", "ping"):
            return None
        head, usage = Response(), Usage()
        blocks: dict[int, list[str]] = {}
        for event in events:
            if event.message is not None:
                head = event.message
                usage = head.usage or usage
            if not is_null(event.error):
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
