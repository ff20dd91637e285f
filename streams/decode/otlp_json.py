"""OTLP traces in the JSON mapping: 64-bit integers may be texts, ids are hexadecimal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.batch import check_item, tried
from streams.decode.event import Refused
from streams.decode.json_body import NULL, decode_json, is_null, try_decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator

Attributes = dict[str, Any]
_MAX_DEPTH = 16


class Span(msgspec.Struct, gc=False):
    """What is read of a span, in either encoding."""

    trace_id: str
    span_id: str
    start_ns: int
    end_ns: int
    failed: bool
    resource: Attributes
    attributes: Attributes


class _AnyValue(msgspec.Struct, gc=False):
    stringValue: str | None = None  # noqa: N815 - the wire's names
    boolValue: bool | None = None  # noqa: N815
    intValue: int | str | None = None  # noqa: N815
    doubleValue: float | None = None  # noqa: N815
    arrayValue: msgspec.Raw = NULL  # noqa: N815
    kvlistValue: msgspec.Raw = NULL  # noqa: N815


class _KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: _AnyValue | None = None


class _Array(msgspec.Struct, gc=False):
    values: list[_AnyValue] = []


class _KeyValues(msgspec.Struct, gc=False):
    values: list[_KeyValue] = []


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_KeyValue] = []


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None


class _SpanEvent(msgspec.Struct, gc=False):
    attributes: list[_KeyValue] = []


class _Span(msgspec.Struct, gc=False):
    traceId: str = ""  # noqa: N815
    spanId: str = ""  # noqa: N815
    startTimeUnixNano: int | str = 0  # noqa: N815
    endTimeUnixNano: int | str = 0  # noqa: N815
    attributes: list[_KeyValue] = []
    events: list[_SpanEvent] = []
    status: _Status | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    spans: list[msgspec.Raw] = []


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: msgspec.Raw = NULL
    scopeSpans: list[_ScopeSpans] = []  # noqa: N815


class _Request(msgspec.Struct, gc=False):
    resourceSpans: list[_ResourceSpans]  # noqa: N815


class _Signs(msgspec.Struct, gc=False):
    resourceSpans: msgspec.Raw  # noqa: N815


_SIGNS = msgspec.json.Decoder(_Signs)
_REQUEST = msgspec.json.Decoder(_Request)
_RESOURCE = msgspec.json.Decoder(_Resource | None)
_SPAN = msgspec.json.Decoder(_Span)
_ARRAY = msgspec.json.Decoder(_Array)
_KEY_VALUES = msgspec.json.Decoder(_KeyValues)
_FAILED_CODES = (2, "STATUS_CODE_ERROR")
_MAX_DIGITS = 20


def is_traces(value: bytes) -> bool:
    """Say whether a JSON value holds traces."""
    try:
        return try_decode_json(_SIGNS, value) is not None
    except PoisonRecord:
        return False


class JsonSpan:
    """A span as it is written, with the attributes of its resource."""

    def __init__(self, raw: msgspec.Raw, resource: Attributes, raw_resource: msgspec.Raw) -> None:
        self._raw = raw
        self._resource = resource
        self._raw_resource = raw_resource
        self.error: PoisonRecord | None = None

    def read(self) -> Span:
        """Return what it says.

        Raises
        ------
        PoisonRecord
            If it is malformed.
        """
        if self.error is not None:
            raise self.error
        return _span(decode_json(_SPAN, self._raw), self._resource)

    def alone(self) -> bytes:
        """Return traces of this span alone."""
        return b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"spans":[%b]}]}]}' % (
            bytes(self._raw_resource),
            bytes(self._raw),
        )

    def check(self) -> None:
        """Keep why the span by itself is refused."""
        found = tried(check_item, self._raw)
        if isinstance(found, Refused):
            self.error = found.error


class JsonTraces:
    """Traces in JSON."""

    def spans(self, value: bytes, /) -> Iterator[JsonSpan]:
        """Yield the spans.

        Raises
        ------
        PoisonRecord
            If the JSON is malformed, but within one span.
        """
        spans = list(_split(decode_json(_REQUEST, value)))
        checked = tried(check_item, value)
        if isinstance(checked, Refused):
            for span in spans:
                span.check()
            if all(span.error is None for span in spans):
                raise checked.error
        yield from spans


def _split(request: _Request) -> Iterator[JsonSpan]:
    for group in request.resourceSpans:
        found = decode_json(_RESOURCE, group.resource)
        resource = _attributes(found.attributes) if found else {}
        for scope in group.scopeSpans:
            for span in scope.spans:
                yield JsonSpan(span, resource, group.resource)


def _span(span: _Span, resource: Attributes) -> Span:
    attributes = _attributes(span.attributes)
    for event in span.events:
        attributes = {**_attributes(event.attributes), **attributes}
    return Span(
        span.traceId.lower(),
        span.spanId.lower(),
        _integer(span.startTimeUnixNano),
        _integer(span.endTimeUnixNano),
        span.status is not None and span.status.code in _FAILED_CODES,
        resource,
        attributes,
    )


def _attributes(pairs: list[_KeyValue], depth: int = 0) -> Attributes:
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(value: _AnyValue | None, depth: int) -> Any:
    if value is None or depth > _MAX_DEPTH:
        return None
    if not is_null(value.arrayValue):
        items = decode_json(_ARRAY, value.arrayValue).values
        return [_value(item, depth + 1) for item in items]
    if not is_null(value.kvlistValue):
        return _attributes(decode_json(_KEY_VALUES, value.kvlistValue).values, depth + 1)
    if value.intValue is not None:
        return _integer(value.intValue)
    if value.stringValue is not None:
        return value.stringValue
    return value.doubleValue if value.boolValue is None else value.boolValue


def _integer(value: int | str) -> int:
    if isinstance(value, int):
        return value
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        return 0
    return int(value)
