"""Envoy AI Gateway's access log: flat JSON, one call a record, no text of prompt or answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import PoisonRecord
from streams.decode.body import bounded, bounded_count
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
_MICROS_PER_MS = 1000
_MAX_MS = 10**12
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
        path = (_text(line.get("x-envoy-origin-path")) or "").partition("?")[0]
        model = _text(line.get("gen_ai.request.model"))
        named = Attributes(
            time=_text(line.get("start_time")),
            model=bounded(model, self._limit),
            modelversion=bounded(_text(line.get("gen_ai.response.model")), self._limit),
            clientip=self._address(line),
            useragent=bounded(_text(line.get("user-agent")), self._limit),
            endpoint=bounded(path, self._limit) or None,
            status=_digits(line.get("response_code"), _MAX_STATUS),
            latencyus=_micros(line.get("duration")),
        )
        request = RequestBody(_operation(path), [RequestRow()], params=_params(line))
        event_id = bounded(_text(line.get("x-request-id")), self._limit) or ""
        return (
            Event(
                Part.COMPLETE,
                "envoy",
                event_id,
                named,
                request,
                self._response(line),
                document=document,
            ),
        )

    def _address(self, line: Mapping[str, Any]) -> str | None:
        for name in ("x-forwarded-for", "downstream_remote_address"):
            text = _text(line.get(name))
            address = forwarded_address(text) if text else None
            if address:
                return address
        return None

    def _response(self, line: Mapping[str, Any]) -> ResponseBody:
        flags = _text(line.get("response_flags"))
        return ResponseBody(
            [ResponseRow()],
            error=bounded(flags, self._limit),
            input_tokens=_count(line.get("gen_ai.usage.input_tokens")),
            output_tokens=_count(line.get("gen_ai.usage.output_tokens")),
        )


def _line_of(document: Document) -> Mapping[str, Any] | None:
    try:
        line = document.members()
    except PoisonRecord:
        return None
    if "gen_ai.request.model" not in line:
        return None
    return line if len(_SIGNS & line.keys()) >= _ENOUGH_SIGNS else None


def _operation(path: str) -> str:
    return next((name for end, name in _OPERATIONS if path.endswith(end)), "predict")


def _params(line: Mapping[str, Any]) -> dict[str, str] | None:
    """Keep what MCP calls do, and how much went over the wire."""
    names = ("mcp.method.name", "mcp.tool.name", "bytes_received", "bytes_sent")
    texts = {name: _text(line.get(name)) for name in names}
    return {name: text[:128] for name, text in texts.items() if text} or None


def _text(value: Any) -> str | None:
    """Return a value as text; Envoy writes ``-`` or null where it has none."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value not in ("", "-") else None


def _digits(value: Any, maximum: int) -> str | None:
    text = _text(value)
    if text is None or text == "0":  # the caller hung up before there was one
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(maximum)):
        raise poison("bad_attribute")
    return text


def _micros(value: Any) -> str | None:
    text = _text(value) if type(value) is not float else str(round(value))
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MAX_MS)):
        raise poison("bad_attribute")
    return str(int(text) * _MICROS_PER_MS)


def _count(value: Any) -> int | None:
    text = _text(value)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise poison("int_out_of_range")
    return bounded_count(int(text))
