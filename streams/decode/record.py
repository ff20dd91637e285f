"""One Kafka record to the rows it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.decode.batch import refusals, tried
from streams.decode.body import Limits
from streams.decode.document import Document
from streams.decode.envelope import (
    NO_ATTRIBUTES,
    TimeBounds,
    caller,
    client_network,
    parse_count,
    read_headers,
)
from streams.decode.event import Event, Refused
from streams.decode.formats import BODIES, RECORDS
from streams.decode.model import Decoded, Interaction, Part
from streams.decode.reader import BodyReader
from streams.decode.reasons import poison
from streams.decode.rules import IdentityRules
from streams.decode.tensor import hash_head
from streams.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.errors import PoisonRecord
    from config.settings import IngestSettings, SourceSettings
    from streams.decode.envelope import Attributes
    from streams.decode.event import RecordFormat
    from streams.decode.model import RequestRow, ResponseBody
    from streams.identity import Pseudonyms
    from streams.roles.base import Record

MAX_STATUS = 999
TRUNCATED_PARAM = "vedette.truncated"
ANSWERED, _FAILED = 200, 500
_AUTO = "auto"


class _Source:
    """How one topic is read where its settings say so."""

    def __init__(self, settings: SourceSettings, formats: Sequence[RecordFormat]) -> None:
        self.formats = formats
        self.rules = IdentityRules.of(settings)
        self.model = settings.model
        self.anonymous = settings.anonymous
        self.scattered = settings.join == "shared"
        self.is_auto = settings.format == _AUTO

    def apply(self, events: Sequence[Event | Refused], record: Record, limit: int) -> None:
        """Change events to what the settings want."""
        for event in events:
            if isinstance(event, Event):
                self._apply(event, record, limit)

    def _apply(self, event: Event, record: Record, limit: int) -> None:
        if self.rules is not None:
            self.rules.apply(event, record, limit)
        if self.anonymous != _AUTO:
            event.anonymous = self.anonymous == "keep"
        if self.model is not None and not event.attributes.model:
            event.attributes = replace(event.attributes, model=self.model)
        event.scattered = event.scattered or self.scattered


class RecordDecoder:
    """Decodes records within the bounds of the settings.

    Decoding depends on the record and the settings alone, so a replay decodes alike: event
    times are bounded against the broker's timestamp of the record, not against a clock.

    Parameters
    ----------
    settings
        Bounds, and how the sources are read.
    pseudonyms
        What identities are replaced with.
    """

    def __init__(self, settings: IngestSettings, pseudonyms: Pseudonyms) -> None:
        self._max_record_bytes = settings.max_record_bytes
        self._max_identity_bytes = settings.max_identity_bytes
        self._max_text_bytes = settings.max_text_bytes
        self._times = TimeBounds.of(settings)
        self._names = pseudonyms
        self._redactor = Redactor(settings.redact)
        self._text_tenants = frozenset(settings.text_tenants)
        bodies = BodyReader(Limits.of(settings), BODIES)
        formats = {name: make(bodies) for name, make in RECORDS.items()}
        self._formats = tuple(formats.values())
        self._sources = {
            topic: _Source(
                source, self._formats if source.format == _AUTO else (formats[source.format],)
            )
            for topic, source in settings.sources.items()
        }

    def decode(self, record: Record) -> Decoded | None:
        """Return what ``record`` brings; None if it brings nothing, as a tombstone.

        Raises
        ------
        PoisonRecord
            With one of the reasons of `streams.decode.reasons`.
        """
        value = record.value
        if value is None:
            return None
        if len(value) > self._max_record_bytes:
            raise poison("too_large")
        events, record_format = self.events(record, value)
        if len(events) == 1:
            return self._decoded(record, events[0], 0)
        return self._decode_many(record, value, events, record_format)

    def events(
        self, record: Record, value: bytes
    ) -> tuple[Sequence[Event | Refused], RecordFormat]:
        """Return what a record says, with nothing hashed or masked yet, and its format.

        Raises
        ------
        PoisonRecord
            If it is of no format that is known, or wrong.
        """
        headers = record.headers
        attributes = read_headers(headers, self._max_identity_bytes) if headers else NO_ATTRIBUTES
        document = Document(value)
        source = self._sources.get(record.topic) if self._sources else None
        for record_format in self._formats if source is None else source.formats:
            events = record_format.events(record, document, attributes)
            if events is None:
                continue
            if source is not None:
                source.apply(events, record, self._max_identity_bytes)
            return events, record_format
        is_auto = source is None or source.is_auto
        raise poison("no_envelope" if is_auto else "another_format")

    def _decoded(self, record: Record, event: Event | Refused, first: int) -> Decoded:
        if isinstance(event, Refused):
            raise event.error
        rows = self._rows(record, event, first)
        timed = event.time_us is not None or event.attributes.time is not None
        return Decoded(event.part, event.source, event.id, rows, event.scattered, timed)

    def _decode_many(
        self,
        record: Record,
        value: bytes,
        events: Sequence[Event | Refused],
        record_format: RecordFormat,
    ) -> Decoded | None:
        good: list[Decoded] = []
        refused: list[tuple[int, PoisonRecord]] = []
        for number, event in enumerate(events):
            decoded = tried(self._decoded, record, event, number)
            if isinstance(decoded, Refused):
                refused.append((number, decoded.error))
            else:
                good.append(decoded)
        if not good:
            if refused:
                raise refused[0][1]
            return None
        good[0].more = good[1:]
        if refused:
            good[0].refused = refusals(record, value, record_format, refused)
        return good[0]

    def _rows(self, record: Record, event: Event, first: int) -> list[Interaction]:
        request, response, attributes = event.request, event.response, event.attributes
        count = len(request.rows if request else response.rows if response else ())
        rows = self._envelope_rows(record, event, first, count)
        if request is not None:
            self._add_requests(rows, event)
        if response is not None:
            self._add_responses(rows, response, attributes)
        elif event.part is Part.COMPLETE:
            _add_refusal(rows, attributes)
        if event.params is not None:
            for row in rows:
                row.params = {**(row.params or {}), **event.params}
        return rows

    def _client(self, event: Event) -> str | None:
        """Return the pseudonym of who called; a response half may leave it open."""
        user = event.request.user if event.request else None
        name = caller(event.attributes, event.key, user, self._max_identity_bytes)
        if name:
            return self._names.of("client", name)
        if event.part is not Part.RESPONSE and not event.anonymous:
            raise poison("missing_client")
        return None

    def _envelope_rows(
        self, record: Record, event: Event, first: int, count: int
    ) -> list[Interaction]:
        prefix = f"{record.topic}-{record.partition}-{record.offset}-"
        attributes, request, response = event.attributes, event.request, event.response
        net = client_network(attributes)
        names = self._names.of
        # positional up to the columns that both halves know: this runs once for every event
        known = (
            self._times.event_time_us(event.time_us or attributes.time, record.timestamp),
            -1,
            -1,
            names("tenant", attributes.tenant) if attributes.tenant else None,
            self._client(event),
            names("key", attributes.keyid) if attributes.keyid else None,
            net,
            attributes.useragent,
            attributes.model
            or (request.model if request else None)
            or (response.model if response else None)
            or attributes.modelid
            or attributes.inferenceservicename,
            attributes.modelversion or (response.model_version if response else None),
            without_query(attributes.endpoint),
        )
        return [Interaction(f"{prefix}{index}", *known) for index in range(first, first + count)]

    def _add_requests(self, rows: list[Interaction], event: Event) -> None:
        body, attributes = event.request, event.attributes
        if body is None:
            return
        for row, sample in zip(rows, body.rows, strict=True):
            row.operation = body.operation
            row.trace = attributes.traceparent
            row.params = body.params
            row.input_hash = self._hash(sample)
            row.input = sample.input
            row.input_shape = sample.input_shape
            row.input_dtype = sample.input_dtype
            if sample.prompt is not None:
                row.prompt = self._kept_text(row, "prompt", sample.prompt, attributes)

    def _add_responses(
        self, rows: list[Interaction], body: ResponseBody, attributes: Attributes
    ) -> None:
        status = parse_count(attributes.status, MAX_STATUS)
        latency_us = parse_count(attributes.latencyus)
        if status is None:
            status = ANSWERED if body.error is None else _FAILED
        error = body.error if body.error is None else self._redactor.mask(body.error)
        answers = body.rows
        if len(answers) != len(rows):
            if body.error is None:
                raise poison("row_mismatch")
            answers = answers[:1] * len(rows)
        for row, answer in zip(rows, answers, strict=True):
            row.status = status
            row.latency_us = latency_us
            row.error = error
            row.input_tokens = body.input_tokens
            row.output_tokens = body.output_tokens
            row.scores = answer.scores
            row.label = answer.label
            if body.params is not None:
                row.params = {**(row.params or {}), **body.params}
            if answer.completion is not None:
                row.completion = self._kept_text(row, "completion", answer.completion, attributes)

    def _hash(self, sample: RequestRow) -> bytes | None:
        if sample.input is None:
            if sample.prompt is None:
                return None
            return self._names.payload_hash(sample.prompt.encode())
        head = hash_head(sample.input_dtype, sample.input_shape)
        return self._names.payload_hash(head, sample.input)

    def _kept_text(
        self, row: Interaction, column: str, text: str, attributes: Attributes
    ) -> str | None:
        """Return what may be kept of a text; say in ``params`` what was cut and masked."""
        # Masked before it is cut: half of a secret would not be recognised as one.
        searched = text[: 2 * self._max_text_bytes]
        keep = attributes.tenant in self._text_tenants
        kept, found = self._redactor.apply(searched, column, keep=keep, chars=len(text))
        if found:
            row.params = {**(row.params or {}), **found}
        if kept is None:
            return None
        kept = self._bounded_text(row, column, kept)
        if len(searched) < len(text):
            row.params = {**(row.params or {}), TRUNCATED_PARAM: column}
        return kept

    def _bounded_text(self, row: Interaction, column: str, text: str) -> str:
        """Cut a text that is too long, and say so."""
        limit = self._max_text_bytes
        if len(text) * 4 <= limit:
            return text
        data = text.encode()
        if len(data) <= limit:
            return text
        row.params = {**(row.params or {}), TRUNCATED_PARAM: column}
        return data[:limit].decode("utf-8", "ignore")


def without_query(endpoint: str | None) -> str | None:
    """Cut off what may hold a credential."""
    return endpoint.partition("?")[0] if endpoint and "?" in endpoint else endpoint


def _add_refusal(rows: list[Interaction], attributes: Attributes) -> None:
    """Keep the outcome of a request that got no response body."""
    status = parse_count(attributes.status, MAX_STATUS)
    latency_us = parse_count(attributes.latencyus)
    for row in rows:
        row.status, row.latency_us = status, latency_us
