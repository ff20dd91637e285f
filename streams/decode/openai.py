"""OpenAI-style bodies: chat, completions and embeddings, whole or streamed.

A conversation becomes one text, its messages' texts joined by line feeds; what it asks for
beyond the text (sampling, log-probabilities) becomes ``params``, for asking for those is itself
a sign of extraction and membership inference. Without ``usage`` token counts are unknown.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from streams.decode.body import bounded, bounded_count
from streams.decode.document import Shape
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.openai_stream import joined_stream
from streams.decode.openai_types import (
    Chunk,
    Embedding,
    Failure,
    Function,
    Message,
    Response,
    Usage,
)
from streams.decode.reasons import poison
from streams.decode.sampling import Sampling
from streams.decode.tensor import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.body import Limits
    from streams.decode.document import Document

_HASH_DIGITS = 16
_FLOAT32_BYTES = 4
#: Members of the requests of other APIs.
_ANTHROPIC = frozenset({"system", "anthropic_version", "stop_sequences"})
_RESPONSES = frozenset({"instructions", "max_output_tokens", "previous_response_id"})


class Request(Sampling, gc=False, kw_only=True):
    """Members of chat, completions and embeddings requests that are read."""

    model: str | None = None
    messages: list[Message] | UnsetType = UNSET
    prompt: str | list[Any] | UnsetType | None = UNSET
    input: str | list[Any] | UnsetType = UNSET
    user: str | None = None


_REQUEST, _RESPONSE = Shape[Request](Request), Shape[Response](Response)
_CHUNKS = Shape[list[Chunk]](list[Chunk])
_NO_USAGE = Usage()


class OpenAiDecoder:
    """Decodes OpenAI-style JSON bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body has ``messages``, ``prompt`` or ``input``, and no other API's sign."""
        if "messages" in members:
            return _ANTHROPIC.isdisjoint(members)
        if "prompt" in members:
            return "input" not in members
        if "input" not in members or "model" not in members:
            return False
        return _RESPONSES.isdisjoint(members) and not _are_items(members["input"])

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body has ``choices``, ``object`` or ``error``."""
        if "choices" in members:
            return True
        return "output" not in members and ("object" in members or "error" in members)

    def request(self, body: Document) -> RequestBody:
        """Decode a request body."""
        request = body.read(_REQUEST)
        operation, prompt = self._prompt(request)
        limit = self._limits.identity_bytes
        return RequestBody(
            operation,
            [RequestRow(prompt=prompt)],
            model=bounded(request.model, limit),
            user=bounded(request.user, limit),
            params=request.params(),
        )

    def response(self, body: Document) -> ResponseBody:
        """Decode a response body."""
        return self._read_response(body.read(_RESPONSE))

    def stream(self, chunks: Document) -> ResponseBody | None:
        """Put the chunks of a streamed answer together; None if they are of another format."""
        decoded = chunks.try_read(_CHUNKS)
        if not decoded or (decoded[0].choices is UNSET and decoded[0].error is UNSET):
            return None
        return self._read_response(joined_stream(decoded))

    def _read_response(self, response: Response) -> ResponseBody:
        usage = response.usage or _NO_USAGE
        return ResponseBody(
            [ResponseRow(completion=_completion(response))],
            model=bounded(response.model, self._limits.identity_bytes),
            error=self._error(response),
            input_tokens=bounded_count(usage.prompt_tokens),
            output_tokens=bounded_count(usage.completion_tokens),
            params=embedding_params(response.data) if isinstance(response.data, list) else None,
        )

    def _prompt(self, request: Request) -> tuple[str, str | None]:
        if request.messages is not UNSET:
            return "chat", "\n".join(map(_text, request.messages))
        if request.prompt is not UNSET:
            return "completion", _joined(request.prompt)
        return "embedding", _joined(request.input)

    def _error(self, response: Response) -> str | None:
        if not isinstance(response.error, Failure):
            return None
        text = response.error.code or response.error.type or "error"
        return str(text)[: self._limits.identity_bytes]


def _are_items(value: Any) -> bool:
    """Say whether it is a list of objects: the input of the Responses API, not of embeddings."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _joined(prompt: str | list[Any] | UnsetType | None) -> str | None:
    """Return the text of a prompt; None if it came as token numbers."""
    if prompt is None or isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list):
        raise poison("wrong_type")
    if all(isinstance(item, str) for item in prompt):
        return "\n".join(prompt)
    return None


def _text(message: Message) -> str:
    content = message.content
    if isinstance(content, list):
        texts = (part.text or part.refusal for part in content)
        content = "\n".join(text for text in texts if text is not None)
    if not (message.tool_calls or message.function_call or message.refusal):
        return content or ""
    calls = [f"{call.name or ''} {call.arguments or ''}" for call in _functions(message)]
    return "\n".join(text for text in (content, message.refusal, *calls) if text)


def _functions(message: Message) -> list[Function]:
    calls = [call.function for call in message.tool_calls or () if call.function is not None]
    return calls if message.function_call is None else [*calls, message.function_call]


def _completion(response: Response) -> str | None:
    if not isinstance(response.choices, list):
        return None
    texts = [
        choice.text or "" if choice.message is None else _text(choice.message)
        for choice in response.choices
    ]
    return "\n".join(texts)


def embedding_params(data: list[Embedding]) -> dict[str, str] | None:
    """Return what is kept of embeddings: how many, how long, and a hash of the float32 values.

    Numbers and base64 give the same. The vectors themselves are no class scores.

    Raises
    ------
    PoisonRecord
        If base64 is broken, or a value is not finite.
    """
    vectors = [_vector(item.embedding) for item in data if item.embedding is not None]
    if not vectors:
        return None
    digest = sha256(b"".join(vectors)).hexdigest()
    return {
        "embeddings": str(len(vectors)),
        "embedding_dimensions": str(len(vectors[0]) // _FLOAT32_BYTES),
        "embedding_hash": digest[:_HASH_DIGITS],
    }


def _vector(values: list[float] | str) -> bytes:
    if isinstance(values, list):
        return pack(values, "FP32")
    try:
        return base64.b64decode(values, validate=True)
    except (binascii.Error, ValueError):
        raise poison("wrong_type") from None
