"""OpenAI-style bodies: chat, completions and embeddings.

A conversation becomes one text, its messages' texts joined by line feeds; what it asks for
beyond the text (sampling, log-probabilities) becomes ``params``, for asking for those is itself
a sign of extraction and membership inference. Without ``usage`` token counts are unknown.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from streams.decode.body import bounded, bounded_count
from streams.decode.json_body import decode_json, try_decode_json
from streams.decode.model import RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from streams.decode.body import Limits
    from streams.decode.json_body import Body

_LOGIT_BIAS_DIGITS = 16


class Function(msgspec.Struct, gc=False):
    """The function that a tool call names."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """One call that the model wants made."""

    function: Function | None = None


class ContentPart(msgspec.Struct, gc=False):
    """A part of a message; only texts are read."""

    type: str = "text"
    text: str | None = None


class Message(msgspec.Struct, gc=False):
    """One message of a conversation."""

    role: str | None = None
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None


class Request(msgspec.Struct, gc=False):
    """Members of chat, completions and embeddings requests that are read."""

    model: str | None = None
    messages: list[Message] | UnsetType = UNSET
    prompt: str | list[Any] | UnsetType | None = UNSET
    input: str | list[Any] | UnsetType = UNSET
    user: str | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    echo: bool | None = None
    seed: int | None = None
    stream: bool | None = None
    frequency_penalty: int | float | None = None
    presence_penalty: int | float | None = None
    logit_bias: dict[str, float] | None = None


_PARAMS = (
    "temperature",
    "top_p",
    "n",
    "best_of",
    "max_tokens",
    "max_completion_tokens",
    "logprobs",
    "top_logprobs",
    "echo",
    "seed",
    "stream",
    "frequency_penalty",
    "presence_penalty",
)


class Usage(msgspec.Struct, gc=False):
    """Token counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Choice(msgspec.Struct, gc=False):
    """One answer: a message, or the text of a completion."""

    message: Message | None = None
    text: str | None = None


class Failure(msgspec.Struct, gc=False):
    """What an error body says; its message may quote the prompt and is not read."""

    type: str | None = None
    code: str | int | None = None


class Response(msgspec.Struct, gc=False):
    """Members of responses that are read."""

    model: str | None = None
    choices: list[Choice] | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    usage: Usage | None = None
    error: Failure | UnsetType | None = UNSET


class _Signs(msgspec.Struct, gc=False):
    messages: msgspec.Raw | UnsetType = UNSET
    prompt: msgspec.Raw | UnsetType = UNSET
    input: msgspec.Raw | UnsetType = UNSET
    model: msgspec.Raw | UnsetType = UNSET
    choices: msgspec.Raw | UnsetType = UNSET
    object: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET


class OpenAiDecoder:
    """Decodes OpenAI-style JSON bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._signs = msgspec.json.Decoder(_Signs)
        self._request = msgspec.json.Decoder(Request)
        self._response = msgspec.json.Decoder(Response)

    def complete(self, body: bytes) -> None:
        """Leave complete events to the two halves: texts gain nothing from one pass."""

    def request(self, body: Body) -> RequestBody | None:
        """Decode a request body; None without ``messages``, ``prompt`` or ``input``."""
        signs = try_decode_json(self._signs, body)
        if signs is None or not _asks(signs):
            return None
        request = decode_json(self._request, body)
        operation, prompt = self._prompt(request)
        limit = self._limits.identity_bytes
        return RequestBody(
            operation,
            [RequestRow(prompt=prompt)],
            model=bounded(request.model, limit),
            user=bounded(request.user, limit),
            params=_params(request),
        )

    def response(self, body: Body) -> ResponseBody | None:
        """Decode a response body; None without ``choices``, ``object`` or ``error``."""
        signs = try_decode_json(self._signs, body)
        if signs is None or (signs.choices, signs.object, signs.error) == (UNSET,) * 3:
            return None
        response = decode_json(self._response, body)
        usage = response.usage or Usage()
        return ResponseBody(
            [ResponseRow(completion=_completion(response))],
            model=bounded(response.model, self._limits.identity_bytes),
            error=self._error(response),
            input_tokens=bounded_count(usage.prompt_tokens),
            output_tokens=bounded_count(usage.completion_tokens),
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


def _asks(signs: _Signs) -> bool:
    if signs.messages is not UNSET or signs.prompt is not UNSET:
        return True
    return signs.input is not UNSET and signs.model is not UNSET


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
        content = "\n".join(part.text for part in content if part.text is not None)
    if not message.tool_calls:
        return content or ""
    calls = [f"{call.name or ''} {call.arguments or ''}" for call in _functions(message)]
    return "\n".join([content, *calls] if content else calls)


def _functions(message: Message) -> list[Function]:
    return [call.function for call in message.tool_calls or () if call.function is not None]


def _completion(response: Response) -> str | None:
    if not isinstance(response.choices, list):
        return None
    texts = (
        choice.text if choice.message is None else _text(choice.message)
        for choice in response.choices
    )
    return "\n".join(text or "" for text in texts)


def _params(request: Request) -> dict[str, str] | None:
    params = {}
    for name in _PARAMS:
        value = getattr(request, name)
        if value is not None:
            params[name] = str(value).lower() if isinstance(value, bool) else str(value)
    if request.logit_bias:
        text = msgspec.json.encode(sorted(request.logit_bias.items()))
        params["logit_bias"] = sha256(text).hexdigest()[:_LOGIT_BIAS_DIGITS]
    return params or None
