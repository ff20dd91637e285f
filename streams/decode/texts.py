"""Texts out of nested content: messages, parts, blocks, items of the several chat formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.decode.json_body import decode_json, is_null, try_decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.decode.json_body import Body

#: Members that hold text that a person or a model wrote, in the order they are read.
_TEXT_MEMBERS = (
    "text",
    "refusal",
    "name",
    "arguments",
    "input",
    "parts",
    "content",
    "output",
    "thinking",
    "function",
)
_MAX_DEPTH = 32
_PARAM_CHARS = 64
_ANY = msgspec.json.Decoder(Any)


class _Failure(msgspec.Struct, gc=False):
    code: str | int | None = None
    type: str | None = None


_FAILURE = msgspec.json.Decoder(_Failure)


def flat_text(body: Body) -> str:
    """Return the texts of a message, a list of parts or blocks, or an item, one a line.

    Raises
    ------
    PoisonRecord
        If it is no JSON.
    """
    value = decode_json(_ANY, body)
    return value if isinstance(value, str) else "\n".join(walk_texts(value))


def walk_texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts of nested content; what lies too deep is not looked for.

    A tool call's arguments that are an object are given as JSON: they are what the model wrote.
    """
    if isinstance(value, str):
        if value:
            yield value
        return
    if depth == _MAX_DEPTH:
        return
    items = value if isinstance(value, list) else []
    if isinstance(value, dict):
        members = (value.get(name) for name in _TEXT_MEMBERS)
        items = [_as_json(member) if isinstance(member, dict) else member for member in members]
    for item in items:
        yield from walk_texts(item, depth + 1)


def _as_json(members: dict[str, Any]) -> str:
    return msgspec.json.encode(members).decode()


def failure_code(error: Body, limit: int) -> str | None:
    """Return code or type of an error object; its message may quote the prompt and is not read."""
    if is_null(error):
        return None
    failure = try_decode_json(_FAILURE, error)
    text = (failure.code or failure.type) if failure else None
    return str(text or "error")[:limit]


def as_params(values: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the values that are given, as texts; None if there is none."""
    params = {
        name: (str(value).lower() if isinstance(value, bool) else str(value))[:_PARAM_CHARS]
        for name, value in values.items()
        if value is not None
    }
    return params or None
