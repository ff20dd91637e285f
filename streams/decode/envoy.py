"""Envoy AI Gateway's access log: flat JSON, one call a record, no text of prompt or answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import PoisonRecord
from streams.decode.body import bounded_count
from streams.decode.envelope import Attributes
from streams.decode.event import Event
from streams.decode.model import Part, RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.identity import forwarded_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.document import Document
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

_SIGNS = frozenset({"response_flags", "upstream_host", "response_code", "start_time"})
_ENOUGH_SIGNS = 2
_MAX_STATUS = 999
_PARAM_CHARS = 128
_MICROS_PER_MS = 1000
_MAX_MS = 10**12
#: Identities and names, whose length is bounded.
_NAMES = (
    "gen_ai.request.model",
    "gen_ai.response.model",
    "user-agent",
    "x-request-id",
    "x-envoy-origin-path",
    "response_flags",
)
_PARAMS = ("mcp.method.name", "mcp.tool.name", "bytes_received", "bytes_sent")
#: End of the path -> operation, the first that fits.
_OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "completion"),
    ("/embeddings", "embedding"),
    ("/messages", "chat"),
    ("/responses", "chat"),
)


class EnvoyFormat:
    """Reads one call a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._limit = bodies.limits.identity_bytes

    def events(
        self, _record: Record, document: Document, _attributes: Attributes, /
    ) -> tuple[Event] | None:
        """Return the call; None if it is no access log of the AI gateway."""
        line = _line_of(document)
        if line is None:
            return None
        document.check()
        (model, answering, agent, event_id, path, flags), rest = self._named(line), line.get
        path = path.partition("?")[0] if path else ""
        named = Attributes(
            time=_text(rest("start_time")),
            model=model,
            modelversion=answering,
            clientip=_address(line),
            useragent=agent,
            endpoint=path or None,
            status=_digits(rest("response_code"), _MAX_STATUS),
            latencyus=_micros(rest("duration")),
        )
        request = RequestBody(_operation(path), [RequestRow()], params=_params(line))
        response = ResponseBody(
            [ResponseRow()],
            error=flags,
            input_tokens=_count(rest("gen_ai.usage.input_tokens")),
            output_tokens=_count(rest("gen_ai.usage.output_tokens")),
        )
        return (
            Event(
                Part.COMPLETE, "envoy", event_id or "", named, request, response, document=document
            ),
        )

    def _named(self, line: Mapping[str, Any]) -> list[str | None]:
        """Return the texts of `_NAMES`.

        Raises
        ------
        PoisonRecord
            With reason ``attribute_too_long``.
        """
        # a longer text says what it says: this runs six times for every call
        texts = [
            value if type(value) is str and len(value) > 1 else _text(value)
            for value in map(line.get, _NAMES)
        ]
        for text in texts:
            if text is not None and len(text) > self._limit:
                raise poison("attribute_too_long")
        return texts


def _address(line: Mapping[str, Any]) -> str | None:
    for name in ("x-forwarded-for", "downstream_remote_address"):
        text = _text(line.get(name))
        address = forwarded_address(text) if text else None
        if address:
            return address
    return None


def _line_of(document: Document) -> Mapping[str, Any] | None:
    try:
        line = document.members()
    except PoisonRecord:
        return None
    if "gen_ai.request.model" not in line:
        return None
    return line if len(line.keys() & _SIGNS) >= _ENOUGH_SIGNS else None


def _operation(path: str) -> str:
    for end, name in _OPERATIONS:
        if path.endswith(end):
            return name
    return "predict"


def _params(line: Mapping[str, Any]) -> dict[str, str] | None:
    """Keep what MCP calls do, and how much went over the wire."""
    params = {}
    for name in _PARAMS:
        value = line.get(name)
        text = None if value is None else _text(value)
        if text:
            params[name] = text[:_PARAM_CHARS]
    return params or None


def _text(value: Any) -> str | None:
    """Return a value as text; Envoy writes ``-`` or null where it has none."""
    if type(value) is str:
        return None if value == "-" else value or None
    return str(value) if type(value) is int else None


def _digits(value: Any, maximum: int) -> str | None:
    if type(value) is int and 0 < value <= maximum:
        return str(value)
    text = _text(value)
    if text is None or text == "0":  # the caller hung up before there was one
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(maximum)):
        raise poison("bad_attribute")
    return text


def _micros(value: Any) -> str | None:
    if type(value) is int and 0 <= value <= _MAX_MS:
        return str(value * _MICROS_PER_MS)
    text = _text(value) if type(value) is not float else str(round(value))
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MAX_MS)):
        raise poison("bad_attribute")
    return str(int(text) * _MICROS_PER_MS)


def _count(value: Any) -> int | None:
    if type(value) is int:
        return bounded_count(value)
    text = _text(value)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise poison("int_out_of_range")
    return bounded_count(int(text))
