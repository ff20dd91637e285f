"""OTLP traces in the JSON mapping: 64-bit integers may be texts, ids are hexadecimal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.batch import tried
from streams.decode.document import Document, Shape
from streams.decode.event import Refused
from streams.decode.json_body import decode_json

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
    arrayValue: Any = None  # noqa: N815
    kvlistValue: Any = None  # noqa: N815


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
    spans: list[Any] = []


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: Any = None
    scopeSpans: list[_ScopeSpans] = []  # noqa: N815


class _Request(msgspec.Struct, gc=False):
    resourceSpans: list[_ResourceSpans]  # noqa: N815


class _RawScopeSpans(msgspec.Struct, gc=False):
    spans: list[msgspec.Raw] = []


class _RawResourceSpans(msgspec.Struct, gc=False):
    resource: msgspec.Raw = msgspec.Raw(b"null")
    scopeSpans: list[_RawScopeSpans] = []  # noqa: N815


class _RawRequest(msgspec.Struct, gc=False):
    resourceSpans: list[_RawResourceSpans]  # noqa: N815


_REQUEST = Shape[_Request](_Request)
_RAW_REQUEST = msgspec.json.Decoder(_RawRequest)
_RESOURCE = Shape[_Resource](_Resource)
_SPAN = Shape[_Span](_Span)
_ARRAY = Shape[_Array](_Array)
_KEY_VALUES = Shape[_KeyValues](_KeyValues)
_FAILED_CODES = (2, "STATUS_CODE_ERROR")
_MAX_DIGITS = 20


def is_traces(document: Document) -> bool:
    """Say whether a JSON value holds traces."""
    try:
        return "resourceSpans" in document.members()
    except PoisonRecord:
        return False


class JsonSpan:
    """A span, with the attributes of its resource.

    Parameters
    ----------
    span
        What it was parsed to, or how it is written.
    resource
        Attributes of the resource.
    raw_resource
        How the resource is written, if it is known how the span is.
    """

    def __init__(self, span: Document, resource: Attributes, raw_resource: bytes = b"") -> None:
        self._span = span
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
        return _span(self._span.read(_SPAN), self._resource)

    def alone(self) -> bytes:
        """Return traces of this span alone."""
        return b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"spans":[%b]}]}]}' % (
            self._raw_resource,
            self._span.text or b"null",
        )

    def check(self) -> None:
        """Keep why the span by itself is refused."""
        found = tried(self._span.check)
        if isinstance(found, Refused):
            self.error = found.error


class JsonTraces:
    """Traces in JSON."""

    def spans(self, document: Document, /, *, alone: bool) -> Iterator[JsonSpan]:
        """Yield the spans, those that are to be written ``alone`` as they are written.

        Raises
        ------
        PoisonRecord
            If the JSON is malformed, but within one span.
        """
        checked = tried(document.check)
        if not (alone or isinstance(checked, Refused)) and document.parse():
            yield from _parsed_spans(document.read(_REQUEST))
            return
        spans = list(_raw_spans(document.text or b""))
        if isinstance(checked, Refused):
            for span in spans:
                span.check()
            if all(span.error is None for span in spans):
                raise checked.error
        yield from spans


def _parsed_spans(request: _Request) -> Iterator[JsonSpan]:
    for group in request.resourceSpans:
        resource = _resource_of(Document(None, group.resource))
        for scope in group.scopeSpans:
            for span in scope.spans:
                yield JsonSpan(Document(None, span), resource)


def _raw_spans(text: bytes) -> Iterator[JsonSpan]:
    for group in decode_json(_RAW_REQUEST, text).resourceSpans:
        raw_resource = bytes(group.resource)
        resource = _resource_of(Document(raw_resource))
        for scope in group.scopeSpans:
            for span in scope.spans:
                yield JsonSpan(Document(bytes(span)), resource, raw_resource)


def _resource_of(document: Document) -> Attributes:
    return {} if document.is_null() else _attributes(document.read(_RESOURCE).attributes)


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
    if value.arrayValue is not None:
        items = Document(None, value.arrayValue).read(_ARRAY).values
        return [_value(item, depth + 1) for item in items]
    if value.kvlistValue is not None:
        pairs = Document(None, value.kvlistValue).read(_KEY_VALUES).values
        return _attributes(pairs, depth + 1)
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
