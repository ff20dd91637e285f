"""OTLP traces in the JSON mapping: 64-bit integers may be texts, ids are hexadecimal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.batch import tried
from streams.decode.document import Document, Shape
from streams.decode.event import Refused
from streams.decode.json_body import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
    spans: list[_Span] = []


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
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
_RESOURCE = msgspec.json.Decoder(_Resource | None)
_SPAN = msgspec.json.Decoder(_Span)
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


class JsonTraces:
    """Traces in JSON."""

    def read(self, document: Document, /) -> Iterable[Span | Refused]:
        """Return what the spans say.

        Raises
        ------
        PoisonRecord
            If the JSON is malformed, but within one span.
        """
        checked = tried(document.check)
        if not isinstance(checked, Refused) and document.parse():
            request = document.try_read(_REQUEST)
            if request is not None:
                return _read_together(request)
        return _read_one_by_one(document.text or b"", checked)

    def alone(self, value: bytes, /) -> Iterator[Callable[[], bytes]]:
        """Yield what writes each span alone."""
        for group, raw in _raw_spans(value):
            yield partial(_written, group.resource, raw)


def _written(resource: msgspec.Raw, span: msgspec.Raw) -> bytes:
    return b'{"resourceSpans":[{"resource":%b,"scopeSpans":[{"spans":[%b]}]}]}' % (
        bytes(resource),
        bytes(span),
    )


def _read_together(request: _Request) -> Iterator[Span]:
    for group in request.resourceSpans:
        resource = _attributes(group.resource.attributes) if group.resource else {}
        for scope in group.scopeSpans:
            for span in scope.spans:
                yield _span(span, resource)


def _read_one_by_one(text: bytes, checked: Refused | None) -> list[Span | Refused]:
    """Return what spans say that cannot be read together, as some of them are refused."""
    resources: dict[int, Attributes] = {}
    spans: list[Span | Refused] = []
    is_explained = checked is None
    for group, raw in _raw_spans(text):
        if id(group) not in resources:
            resource = decode_json(_RESOURCE, group.resource)
            resources[id(group)] = _attributes(resource.attributes) if resource else {}
        bad = None if checked is None else tried(Document(bytes(raw)).check)
        is_explained |= bad is not None
        spans.append(tried(_read_alone, raw, resources[id(group)]) if bad is None else bad)
    if checked is not None and not is_explained:
        raise checked.error  # the fault lies beside the spans
    return spans


def _read_alone(raw: msgspec.Raw, resource: Attributes) -> Span:
    return _span(decode_json(_SPAN, raw), resource)


def _raw_spans(text: bytes) -> Iterator[tuple[_RawResourceSpans, msgspec.Raw]]:
    """Yield each span with the group that has its resource."""
    request = decode_json(_RAW_REQUEST, text)
    for group in request.resourceSpans:
        for scope in group.scopeSpans:
            for span in scope.spans:
                yield group, span


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
    if value.isdigit() and value.isascii() and len(value) <= _MAX_DIGITS:
        return int(value)
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        return 0
    return int(value)
