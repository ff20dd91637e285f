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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from streams.decode.envelope import Attributes
    from streams.decode.event import Event
    from streams.decode.otlp_json import Span
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record


class _Traces(Protocol):
    """An encoding of traces; a `PoisonRecord` if the bounds of the spans cannot be told."""

    def read(self, document: Document, /) -> Iterable[Span | Refused]:
        """Return what the spans say; one that is malformed is refused alone."""

    def alone(self, value: bytes, /) -> Iterator[Callable[[], bytes]]:
        """Yield what makes a record of each span alone, its own bytes as they are."""


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
        limit = self._limits.identity_bytes
        for span in coding.read(document):
            call = span if isinstance(span, Refused) else tried(call_of, span, limit)
            if call is not None:
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
        if coding is None:
            return
        number, limit = 0, self._limits.identity_bytes
        for span, written in zip(coding.read(document), coding.alone(value), strict=True):
            if isinstance(span, Refused) or tried(call_of, span, limit) is not None:
                if number in wanted:
                    yield written()
                number += 1

    def _coding_of(self, document: Document) -> _Traces | None:
        value = document.text or b""
        if value[:1] == b"{":
            return self._json if is_traces(document) else None
        try:
            return self._protobuf if looks_like_traces(value) else None
        except PoisonRecord:
            return None
