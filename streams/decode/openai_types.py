"""The members of OpenAI-style answers and messages that are read."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Function(msgspec.Struct, gc=False):
    """The function that a tool call names."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """One call that the model wants made; the index tells which one a chunk continues."""

    function: Function | None = None
    index: int = 0


class ContentPart(msgspec.Struct, gc=False):
    """A part of a message; only texts are read."""

    type: str = "text"
    text: str | None = None
    refusal: str | None = None


class Message(msgspec.Struct, gc=False):
    """One message of a conversation."""

    role: str | None = None
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    refusal: str | None = None


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


class Embedding(msgspec.Struct, gc=False):
    """One vector, as numbers or as the base64 of little-endian float32."""

    embedding: list[float] | str | None = None


class Response(msgspec.Struct, gc=False):
    """Members of responses that are read."""

    model: str | None = None
    choices: list[Choice] | UnsetType = UNSET
    data: list[Embedding] | UnsetType | None = UNSET
    usage: Usage | None = None
    error: Failure | UnsetType | None = UNSET


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds to the message of one choice."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChunkChoice(msgspec.Struct, gc=False):
    """What a chunk adds to one choice: a delta of chat, or the text of a completion."""

    index: int = 0
    delta: Delta | None = None
    text: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """One chunk of a stream; usage comes with the last one, if it was asked for."""

    model: str | None = None
    choices: list[ChunkChoice] | UnsetType = UNSET
    usage: Usage | None = None
    error: Failure | UnsetType | None = UNSET
