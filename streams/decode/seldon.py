"""Seldon Core 2's topics: inputs, outputs and errors of models and pipelines.

Both halves of a call lie in topics of their own, so they are marked as scattered. The record
key is ``<partition>.<pipeline>.<request-id>`` and says nothing of who called.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from config.errors import PoisonRecord
from streams.decode.document import Document
from streams.decode.envelope import Attributes
from streams.decode.event import Event
from streams.decode.headers import header
from streams.decode.model import Part, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.rules import IdentityRules

if TYPE_CHECKING:
    from streams.decode.model import RequestBody
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

    _Read = tuple[Part, RequestBody | None, ResponseBody | None]

_PARTS = {"inputs": Part.REQUEST, "outputs": Part.RESPONSE, "errors": Part.RESPONSE}
#: No header that a caller may write names the client, unless the settings say so.
_RULES = IdentityRules(
    key=("header:x-api-key",),
    network=("header:x-forwarded-for",),
    user_agent=("header:user-agent",),
)
_MAGIC = 0
_SCHEMA_ID_BYTES = 5
_FAILED = "pipeline_error"
_REMEMBERED_PLACES = 4096


class Place(NamedTuple):
    """What a topic's name says: whose calls lie there, and which half."""

    source: str
    name: str | None
    part: Part | None
    is_error: bool

    @staticmethod
    @lru_cache(maxsize=_REMEMBERED_PLACES)
    def of(topic: str, pipeline: str | None) -> Place:
        """Read ``<prefix>.<namespace>.{model|pipeline}.<name>.{inputs|outputs}``."""
        names = topic.split(".")
        part = _PARTS.get(names[-1]) if len(names) > 3 else None
        is_error = names[-2:] == ["errors", "errors"]
        if part is None or not (is_error or names[-3] in ("model", "pipeline")):
            return Place(topic, pipeline, None, is_error=False)
        if is_error:
            source = ".".join([*names[:-2], "pipeline", pipeline or ""])
            return Place(source, pipeline, part, is_error=True)
        return Place(".".join(names[:-1]), names[-2], part, is_error=False)


class SeldonFormat:
    """Reads one half a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes

    def events(
        self, record: Record, document: Document, attributes: Attributes
    ) -> tuple[Event] | None:
        """Return the half; None without a header of Seldon's, elsewhere than in its topics."""
        kind = pipeline = None
        if attributes.others:
            kind = header(attributes, "seldon-infer-type", self._limit)
            pipeline = header(attributes, "pipeline", self._limit)
        place = Place.of(record.topic, pipeline)
        if kind is None and pipeline is None and place.part is None:
            return None
        event_id = header(attributes, "x-request-id", self._limit) or self._id_of_key(record.key)
        if not event_id:
            raise poison("missing_attribute")
        if place.is_error:
            read: _Read = (Part.RESPONSE, None, self._failure(attributes))
        else:
            read = self._bodies_of(document, kind, place)
        part, request, response = read
        named = Attributes(
            model=place.name,
            modelversion=header(attributes, "x-pipeline-version", self._limit),
            traceparent=attributes.traceparent,
        )
        event = Event(
            part,
            place.source,
            event_id,
            named,
            request,
            response,
            document=document,
            scattered=True,
        )
        return (_RULES.apply(event, record, self._limit),)

    def _id_of_key(self, key: bytes | None) -> str | None:
        if not key:
            return None
        if len(key) > self._limit:
            raise poison("attribute_too_long")
        return key.decode("utf-8", "backslashreplace").split(".", 2)[-1]

    def _failure(self, attributes: Attributes) -> ResponseBody:
        """Return the failure; its text may quote the payload and is not read."""
        failing = header(attributes, "seldon-pipeline-errors", self._limit)
        return ResponseBody([ResponseRow()], error=failing or _FAILED)

    def _bodies_of(self, document: Document, kind: str | None, place: Place) -> _Read:
        """Read the value as header or topic say, else as whatever fits first."""
        told = _part_of(kind) or place.part
        document = without_schema_id(document)
        parts = (told,) if told else (Part.REQUEST, Part.RESPONSE)
        refusal = poison("unknown_format")
        for is_json in _codings(kind, document.text or b""):
            for part in parts:
                try:
                    request, response = self._read(document, part, is_json=is_json)
                except PoisonRecord as error:
                    refusal = error
                else:
                    return part, request, response
        raise refusal

    def _read(
        self, document: Document, part: Part, *, is_json: bool
    ) -> tuple[RequestBody | None, ResponseBody | None]:
        if is_json:
            return self._bodies.read(part, document, None)
        message = document.text or b""
        if part is Part.REQUEST:
            return self._bodies.protobuf.request(message).request, None
        return None, self._bodies.protobuf.response(message).response


def _part_of(kind: str | None) -> Part | None:
    """Read ``json/inferModelRequest``, ``proto/InferModelResponse`` and the like."""
    lowered = (kind or "").lower()
    if lowered.endswith("request"):
        return Part.REQUEST
    return Part.RESPONSE if lowered.endswith("response") else None


def _codings(kind: str | None, value: bytes) -> tuple[bool, ...]:
    """Return whether the value is JSON; both in the order to try where nothing tells."""
    lowered = (kind or "").lower()
    if lowered.startswith(("json/", "proto/")):
        return (lowered.startswith("json/"),)
    return (True,) if value[:1] == b"{" else (False, True)


def without_schema_id(document: Document) -> Document:
    """Cut off the prefix of a schema registry: magic byte, schema id, message indexes.

    No protobuf message begins with a zero byte, and no JSON does. Where the registry cannot be
    reached the prefix is silently missing.
    """
    value = document.text or b""
    if len(value) <= _SCHEMA_ID_BYTES or value[0] != _MAGIC:
        return document
    at = _SCHEMA_ID_BYTES
    indexes = value[at] >> 1  # zigzag; zero stands for the single index zero
    return Document(value[at + 1 + indexes :])
