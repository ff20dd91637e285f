"""OTLP traces on Kafka, JSON and protobuf: the spans of model calls, whole calls each.

Reads the GenAI semantic conventions of OpenTelemetry, old and new names, and OpenInference.
Spans of anything else (tools, agents, HTTP) bring nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.errors import PoisonRecord
from streams.decode.genai_span import call_of
from streams.decode.otlp_json import is_traces, read_json
from streams.decode.otlp_protobuf import looks_like_traces, read_protobuf
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.decode.envelope import Attributes
    from streams.decode.event import Event
    from streams.decode.otlp_json import Span
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record


class OtlpFormat:
    """Reads the calls of an ``ExportTraceServiceRequest``."""

    def __init__(self, bodies: BodyReader) -> None:
        self._limits = bodies.limits

    def events(
        self, _record: Record, value: bytes, _attributes: Attributes, /
    ) -> list[Event] | None:
        """Return one event a call; None if the value holds no traces."""
        spans = self._spans(value)
        if spans is None:
            return None
        calls: list[Event] = []
        for span in spans:
            call = call_of(span, self._limits.identity_bytes)
            if call is None:
                continue
            if len(calls) == self._limits.rows:
                raise poison("too_many_events")
            calls.append(call)
        return calls

    def _spans(self, value: bytes) -> Iterable[Span] | None:
        if value[:1] == b"{":
            return read_json(value) if is_traces(value) else None
        try:
            if not looks_like_traces(value):
                return None
        except PoisonRecord:
            return None
        return read_protobuf(value, self._limits.text_bytes)
