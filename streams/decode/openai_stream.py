"""Chunks of a streamed OpenAI-style answer, put together to what it would have been whole."""

from __future__ import annotations

from msgspec import UNSET

from streams.decode.openai_types import (
    Choice,
    Chunk,
    ChunkChoice,
    Delta,
    Failure,
    Function,
    Message,
    Response,
    ToolCall,
)
from streams.decode.reasons import poison

_MAX_CHOICES = 1024


def joined_stream(chunks: list[Chunk]) -> Response:
    """Put the deltas of each choice together, in the order of the choices."""
    response = Response(choices=UNSET)
    messages: dict[int, _Parts] = {}
    for chunk in chunks:
        response.model = response.model or chunk.model
        response.usage = chunk.usage or response.usage
        if isinstance(chunk.error, Failure):
            response.error = chunk.error
        for choice in chunk.choices or ():
            if choice.index not in messages and len(messages) == _MAX_CHOICES:
                raise poison("malformed_stream")
            messages.setdefault(choice.index, _Parts()).add(choice)
    response.choices = [messages[index].choice() for index in sorted(messages)]
    return response


class _Parts:
    """The pieces of one choice."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, tuple[list[str], list[str]]] = {}

    def add(self, choice: ChunkChoice) -> None:
        """Take what a chunk brings."""
        delta = choice.delta or Delta()
        for text in (choice.text, delta.content):
            if text:
                self._texts.append(text)
        if delta.refusal:
            self._refusals.append(delta.refusal)
        for call in delta.tool_calls or ():
            if call.index not in self._calls and len(self._calls) == _MAX_CHOICES:
                raise poison("malformed_stream")
            names, arguments = self._calls.setdefault(call.index, ([], []))
            function = call.function or Function()
            names.append(function.name or "")
            arguments.append(function.arguments or "")

    def choice(self) -> Choice:
        """Return the whole."""
        calls = [
            ToolCall(Function("".join(names), "".join(arguments)))
            for _, (names, arguments) in sorted(self._calls.items())
        ]
        message = Message(
            content="".join(self._texts),
            tool_calls=calls or None,
            refusal="".join(self._refusals) or None,
        )
        return Choice(message)
