"""OTLP traces on Kafka, JSON and protobuf: the spans of model calls, whole calls each.

Reads the GenAI semantic conventions of OpenTelemetry, old and new names, and OpenInference.
Spans of anything else (tools, agents, HTTP) bring nothing. Of several calls a bad one is refused
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.errors import PoisonRecord
from streams.decode.batch import tried
from streams.decode.document import Document
from streams.decode.event import Refused
from streams.decode.genai_span import call_of
from streams.decode.otlp_json import JsonTraces, is_traces
from streams.decode.otlp_protobuf import ProtobufTraces, looks_like_traces
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.decode.envelope import Attributes
    from streams.decode.event import Event
    from streams.decode.otlp_json import Span
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record


class RawSpan(Protocol):
    """A span of a record, not yet read."""

    def read(self) -> Span:
        """Return what it says; a `PoisonRecord` if it is malformed."""

    def alone(self) -> bytes:
        """Return a record of it alone, its own bytes as they are."""


class _Traces(Protocol):
    """An encoding of traces."""

    def spans(self, document: Document, /, *, alone: bool) -> Iterator[RawSpan]:
        """Yield the spans; a `PoisonRecord` if their bounds cannot be told.

        Only if asked for do they know how each is written ``alone``.
        """


class OtlpFormat:
    """Reads the calls of an ``ExportTraceServiceRequest``."""

    def __init__(self, bodies: BodyReader) -> None:
        self._limits = bodies.limits
        self._json = JsonTraces()
        self._protobuf = ProtobufTraces(bodies.limits.text_bytes)

    def events(
        self, _record: Record, document: Document, _attributes: Attributes, /
    ) -> list[Event | Refused] | None:
        """Return one event a call; None if the value holds no traces."""
        coding = self._coding_of(document)
        if coding is None:
            return None
        calls: list[Event | Refused] = []
        for _, call in self._calls(coding, document, alone=False):
            if len(calls) == self._limits.rows:
                raise poison("too_many_events")
            calls.append(call)
        if len(calls) == 1 and isinstance(calls[0], Refused):
            raise calls[0].error
        return calls

    def single(self, value: bytes, numbers: Sequence[int], /) -> Iterator[bytes]:
        """Yield the spans of some calls, each with its resource."""
        document, wanted = Document(value), frozenset(numbers)
        coding = self._coding_of(document)
        calls = self._calls(coding, document, alone=True) if coding is not None else ()
        for number, (span, _) in enumerate(calls):
            if number in wanted:
                yield span.alone()

    def _calls(
        self, coding: _Traces, document: Document, *, alone: bool
    ) -> Iterator[tuple[RawSpan, Event | Refused]]:
        for span in coding.spans(document, alone=alone):
            call = tried(self._call, span)
            if call is not None:
                yield span, call

    def _call(self, span: RawSpan) -> Event | None:
        return call_of(span.read(), self._limits.identity_bytes)

    def _coding_of(self, document: Document) -> _Traces | None:
        value = document.text or b""
        if value[:1] == b"{":
            return self._json if is_traces(document) else None
        try:
            return self._protobuf if looks_like_traces(value) else None
        except PoisonRecord:
            return None
