"""One Kafka record to the rows it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streams.decode.body import Limits
from streams.decode.envelope import (
    TimeBounds,
    caller,
    check_content_type,
    client_network,
    is_structured,
    join_id,
    parse_count,
    part_of,
    read_headers,
    unwrap,
)
from streams.decode.json_body import check_utf8, decode_json, refuse_duplicate_keys
from streams.decode.model import Decoded, Interaction, Part
from streams.decode.oip_v2 import OipV2Decoder
from streams.decode.openai import OpenAiDecoder
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import IngestSettings
    from streams.decode.body import BodyDecoder
    from streams.decode.envelope import Attributes
    from streams.decode.json_body import Body
    from streams.decode.model import RequestBody, RequestRow, ResponseBody
    from streams.identity import Pseudonyms
    from streams.roles.base import Record

#: Formats of bodies in the order they are tried; the first that knows the body wins.
BODY_DECODERS: tuple[Callable[[Limits], BodyDecoder], ...] = (OipV2Decoder, OpenAiDecoder)

MAX_STATUS = 999
TRUNCATED_PARAM = "vedette.truncated"
_ANSWERED, _FAILED = 200, 500


class _Halves(msgspec.Struct, gc=False):
    request: msgspec.Raw
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RecordDecoder:
    """Decodes records within the bounds of the settings.

    Decoding depends on the record and the settings alone, so a replay decodes alike: event
    times are bounded against the broker's timestamp of the record, not against a clock.

    Parameters
    ----------
    settings
        Bounds.
    pseudonyms
        What identities are replaced with.
    """

    def __init__(self, settings: IngestSettings, pseudonyms: Pseudonyms) -> None:
        self._max_record_bytes = settings.max_record_bytes
        self._max_identity_bytes = settings.max_identity_bytes
        self._max_text_bytes = settings.max_text_bytes
        self._times = TimeBounds.of(settings)
        self._names = pseudonyms
        self._formats = [make(Limits.of(settings)) for make in BODY_DECODERS]
        self._halves = msgspec.json.Decoder(_Halves)

    def decode(self, record: Record) -> Decoded | None:
        """Return what ``record`` brings; None if it is a tombstone.

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
        attributes = read_headers(record.headers, self._max_identity_bytes)
        if is_structured(attributes):
            attributes, data = unwrap(value, attributes, self._max_identity_bytes)
            if data is None:
                return None
            value = data
        part = part_of(attributes)
        event_id = join_id(attributes)
        check_content_type(attributes.content_type)
        check_utf8(value)
        rows = self._rows(part, value, record, attributes)
        return Decoded(part, attributes.source or "", event_id, rows)

    def _rows(
        self, part: Part, value: bytes, record: Record, attributes: Attributes
    ) -> list[Interaction]:
        request: RequestBody | None = None
        response: ResponseBody | None = None
        if part is Part.COMPLETE:
            request, response = self._complete(value)
            members = _sum_members(request, response)
        elif part is Part.REQUEST:
            request = self._request(value)
            members = request.members
        else:
            response = self._response(value)
            members = response.members
        refuse_duplicate_keys(value, members)
        count = len(request.rows if request else response.rows if response else ())
        rows = self._envelope_rows(record, attributes, request, response, count)
        if request is not None:
            self._add_requests(rows, request, attributes)
        if response is not None:
            self._add_responses(rows, response, attributes)
        elif part is Part.COMPLETE:
            _add_refusal(rows, attributes)
        return rows

    def _complete(self, value: bytes) -> tuple[RequestBody | None, ResponseBody | None]:
        """Return both halves; a request that was refused unread may be null beside its error."""
        for body_format in self._formats:
            both = body_format.complete(value)
            if both is not None:
                return both
        halves = decode_json(self._halves, value)
        answer = halves.response
        if bytes(halves.request) == b"null":
            return None, self._refusal(answer)
        request = self._request(halves.request)
        if isinstance(answer, msgspec.UnsetType) or bytes(answer) == b"null":
            response = None  # refused before the model, or nothing came back
        else:
            response = self._response(answer)
        request.members = -1
        return request, response

    def _request(self, body: Body) -> RequestBody:
        for body_format in self._formats:
            request = body_format.request(body)
            if request is not None:
                return request
        raise poison("unknown_format")

    def _response(self, body: Body) -> ResponseBody:
        for body_format in self._formats:
            response = body_format.response(body)
            if response is not None:
                return response
        raise poison("unknown_format")

    def _refusal(self, answer: msgspec.Raw | msgspec.UnsetType) -> ResponseBody:
        if not isinstance(answer, msgspec.UnsetType):
            response = self._response(answer)
            if response.error is not None:
                return response
        raise poison("wrong_type")

    def _client(
        self, record: Record, attributes: Attributes, request: RequestBody | None
    ) -> str | None:
        """Return the pseudonym of who called; only a response half may leave it open."""
        user = request.user if request else None
        name = caller(attributes, record.key, user, self._max_identity_bytes)
        if name:
            return self._names.of("client", name)
        if request is not None or part_of(attributes) is Part.COMPLETE:
            raise poison("missing_client")
        return None

    def _envelope_rows(
        self,
        record: Record,
        attributes: Attributes,
        request: RequestBody | None,
        response: ResponseBody | None,
        count: int,
    ) -> list[Interaction]:
        prefix = f"{record.topic}-{record.partition}-{record.offset}-"
        net = client_network(attributes)
        names = self._names.of
        # positional up to the columns that both halves know: this runs once for every event
        known = (
            self._times.event_time_us(attributes.time, record.timestamp),
            -1,
            -1,
            names("tenant", attributes.tenant) if attributes.tenant else None,
            self._client(record, attributes, request),
            names("key", attributes.keyid) if attributes.keyid else None,
            net,
            attributes.useragent,
            attributes.model
            or (request.model if request else None)
            or (response.model if response else None)
            or attributes.inferenceservicename,
            attributes.modelversion or (response.model_version if response else None),
            attributes.endpoint,
        )
        return [Interaction(f"{prefix}{index}", *known) for index in range(count)]

    def _add_requests(
        self, rows: list[Interaction], body: RequestBody, attributes: Attributes
    ) -> None:
        for row, sample in zip(rows, body.rows, strict=True):
            row.operation = body.operation
            row.trace = attributes.traceparent
            row.params = body.params
            row.input_hash = self._hash(sample)
            row.input = sample.input
            row.input_shape = sample.input_shape
            row.input_dtype = sample.input_dtype
            if sample.prompt is not None:
                row.prompt = self._bounded_text(row, "prompt", sample.prompt)

    def _add_responses(
        self, rows: list[Interaction], body: ResponseBody, attributes: Attributes
    ) -> None:
        status = parse_count(attributes.status, MAX_STATUS)
        latency_us = parse_count(attributes.latencyus)
        if status is None:
            status = _ANSWERED if body.error is None else _FAILED
        answers = body.rows
        if len(answers) != len(rows):
            if body.error is None:
                raise poison("row_mismatch")
            answers = answers * len(rows)
        for row, answer in zip(rows, answers, strict=True):
            row.status = status
            row.latency_us = latency_us
            row.error = body.error
            row.input_tokens = body.input_tokens
            row.output_tokens = body.output_tokens
            row.scores = answer.scores
            row.label = answer.label
            if answer.completion is not None:
                row.completion = self._bounded_text(row, "completion", answer.completion)

    def _hash(self, sample: RequestRow) -> bytes:
        if sample.input is None:
            return self._names.payload_hash((sample.prompt or "").encode())
        head = f"{sample.input_dtype}{sample.input_shape}\0".encode()
        return self._names.payload_hash(head, sample.input)

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


def _add_refusal(rows: list[Interaction], attributes: Attributes) -> None:
    """Keep the outcome of a request that got no response body."""
    status = parse_count(attributes.status, MAX_STATUS)
    latency_us = parse_count(attributes.latencyus)
    for row in rows:
        row.status, row.latency_us = status, latency_us


def _sum_members(request: RequestBody | None, response: ResponseBody | None) -> int:
    if request is None or response is None or request.members < 0 or response.members < 0:
        return -1
    return 2 + request.members + response.members
