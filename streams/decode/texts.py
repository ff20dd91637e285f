"""Texts out of nested content: messages, parts, blocks, items of the several chat formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.decode.document import Document, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Members that hold text that a person or a model wrote, by the order they are read in.
_TEXT_MEMBERS = {
    name: order
    for order, name in enumerate(
        (
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
    )
}
_MAX_DEPTH = 32
_PARAM_CHARS = 64


class _Failure(msgspec.Struct, gc=False):
    code: str | int | None = None
    type: str | None = None


_FAILURE = Shape[_Failure](_Failure)


def flat_text(value: Any) -> str:
    """Return the texts of a message, a list of parts or blocks, or an item, one a line."""
    return value if isinstance(value, str) else "\n".join(walk_texts(value))


def walk_texts(value: Any) -> list[str]:
    """Return the texts of nested content; what lies too deep is not looked for.

    A tool call's arguments that are an object are given as JSON: they are what the model wrote.
    """
    if isinstance(value, str):
        return [value] if value else []
    texts: list[str] = []
    _collect(value, texts, 0)
    return texts


def _collect(value: Any, texts: list[str], depth: int) -> None:
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, dict):
        _collect_members(value, texts, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, str):
                _collect(item, texts, depth + 1)
            elif item:
                texts.append(item)


def _collect_members(members: dict[str, Any], texts: list[str], depth: int) -> None:
    for name in _text_members(members):
        member = members[name]
        if isinstance(member, dict):
            texts.append(msgspec.json.encode(member).decode())
        elif not isinstance(member, str):
            _collect(member, texts, depth)
        elif member:
            texts.append(member)


def _text_members(members: dict[str, Any]) -> list[str]:
    names = [name for name in members if name in _TEXT_MEMBERS]
    return names if len(names) < 2 else sorted(names, key=_TEXT_MEMBERS.__getitem__)


def failure_code(error: Any, limit: int) -> str | None:
    """Return code or type of an error object; its message may quote the prompt and is not read."""
    if error is None:
        return None
    failure = Document(None, error).try_read(_FAILURE)
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
