"""OTLP traces in protobuf, ``ExportTraceServiceRequest``.

References
----------
opentelemetry-proto, ``trace/v1/trace.proto``, ``common/v1/common.proto``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from streams.decode.batch import tried
from streams.decode.otlp_json import Span
from streams.decode.protobuf import (
    BYTES,
    as_bytes,
    as_double,
    as_signed,
    as_text,
    as_unsigned,
    read_fields,
    write_field,
)
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streams.decode.document import Document
    from streams.decode.event import Refused
    from streams.decode.otlp_json import Attributes
    from streams.decode.protobuf import Value

_RESOURCE_SPANS = 1
_RESOURCE, _SCOPE_SPANS, _SCHEMA_URL = 1, 2, 3
_SPANS = 2
_RESOURCE_ATTRIBUTES = 1
_TRACE_ID, _SPAN_ID, _START, _END, _ATTRIBUTES, _EVENTS, _STATUS = 1, 2, 7, 8, 9, 11, 15
_EVENT_ATTRIBUTES = 3
_STATUS_CODE, _ERROR = 3, 2
_KEY, _VALUE = 1, 2
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KVLIST = 1, 2, 3, 4, 5, 6
_VALUES = 1
_MAX_DEPTH = 16
_ID_BYTES = 32
_MAX_KEY_BYTES = 1024


def looks_like_traces(value: bytes) -> bool:
    """Say whether a value has the outline of traces: groups of spans, and nothing else.

    Raises
    ------
    PoisonRecord
        If it is no protobuf.
    """
    seen = False
    for number, wire, data in read_fields(value):
        if number != _RESOURCE_SPANS or wire != BYTES:
            return False
        for inner, inner_wire, _ in read_fields(as_bytes(data)):
            if inner not in (_RESOURCE, _SCOPE_SPANS, _SCHEMA_URL) or inner_wire != BYTES:
                return False
            seen = True
    return seen


class ProtobufTraces:
    """Traces in protobuf; texts longer than ``text_bytes`` refuse their span."""

    def __init__(self, text_bytes: int) -> None:
        self._text_bytes = text_bytes

    def read(self, document: Document, /) -> Iterator[Span | Refused]:
        """Yield what the spans say.

        Raises
        ------
        PoisonRecord
            If the message is malformed, but within one span.
        """
        for raw_resource, spans in _groups(document.text or b""):
            resource = _attributes(raw_resource, _RESOURCE_ATTRIBUTES, self._text_bytes)
            for span in spans:
                yield tried(_span, span, resource, self._text_bytes)

    def alone(self, value: bytes, /) -> Iterator[Callable[[], bytes]]:
        """Yield what writes each span alone."""
        for raw_resource, spans in _groups(value):
            for span in spans:
                yield partial(_written, raw_resource, span)


def _written(resource: memoryview, span: memoryview) -> bytes:
    scope = write_field(_SCOPE_SPANS, write_field(_SPANS, span))
    return write_field(_RESOURCE_SPANS, write_field(_RESOURCE, resource) + scope)


def _groups(value: bytes) -> Iterator[tuple[memoryview, Iterator[memoryview]]]:
    """Yield each resource with its spans."""
    for _, _, group in read_fields(value):
        raw_resource = memoryview(b"")
        scopes: list[memoryview] = []
        for number, _, data in read_fields(as_bytes(group)):
            if number == _RESOURCE:
                raw_resource = as_bytes(data)
            elif number == _SCOPE_SPANS:
                scopes.append(as_bytes(data))
        yield raw_resource, _spans_of(scopes)


def _spans_of(scopes: Iterable[memoryview]) -> Iterator[memoryview]:
    for scope in scopes:
        for number, _, data in read_fields(scope):
            if number == _SPANS:
                yield as_bytes(data)


def _span(data: memoryview, resource: Attributes, text_bytes: int) -> Span:
    span = Span("", "", 0, 0, failed=False, resource=resource, attributes={})
    own: Attributes = {}
    for number, _, value in read_fields(data):
        if number == _TRACE_ID:
            span.trace_id = _hexadecimal(value)
        elif number == _SPAN_ID:
            span.span_id = _hexadecimal(value)
        elif number in (_START, _END):
            setattr(span, "start_ns" if number == _START else "end_ns", as_unsigned(value))
        elif number == _ATTRIBUTES:
            _add(own, as_bytes(value), text_bytes)
        else:
            _read_rare(span, number, value, text_bytes)
    span.attributes |= own
    return span


def _read_rare(span: Span, number: int, value: Value, text_bytes: int) -> None:
    if number == _EVENTS:
        span.attributes |= _attributes(as_bytes(value), _EVENT_ATTRIBUTES, text_bytes)
    elif number == _STATUS:
        codes = [code for number, _, code in read_fields(as_bytes(value)) if number == _STATUS_CODE]
        span.failed = codes[-1:] == [_ERROR]


def _hexadecimal(value: Value) -> str:
    return as_bytes(value)[:_ID_BYTES].hex()


def _attributes(data: memoryview, field: int, text_bytes: int) -> Attributes:
    """Read the attributes that a message holds under a field number."""
    found: Attributes = {}
    for number, _, value in read_fields(data):
        if number == field:
            _add(found, as_bytes(value), text_bytes)
    return found


def _add(target: Attributes, pair: memoryview, text_bytes: int, depth: int = 0) -> None:
    key, value = "", None
    for number, _, data in read_fields(pair):
        if number == _KEY:
            key = as_text(data, _MAX_KEY_BYTES)
        elif number == _VALUE:
            value = _any_value(as_bytes(data), text_bytes, depth)
    target[key] = value


def _any_value(data: memoryview, text_bytes: int, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise poison("too_deep")
    result: Any = None
    for number, _, value in read_fields(data):
        if number == _STRING:
            result = as_text(value, text_bytes)
        elif number == _ARRAY:
            result = [
                _any_value(as_bytes(item), text_bytes, depth + 1)
                for field, _, item in read_fields(as_bytes(value))
                if field == _VALUES
            ]
        elif number == _KVLIST:
            result = {}
            for field, _, item in read_fields(as_bytes(value)):
                if field == _VALUES:
                    _add(result, as_bytes(item), text_bytes, depth + 1)
        else:
            result = _scalar(number, value, result)
    return result


def _scalar(number: int, value: Value, otherwise: Any) -> Any:
    if number == _BOOL:
        return bool(as_unsigned(value))
    if number == _INT:
        return as_signed(value)
    return as_double(value) if number == _DOUBLE else otherwise
