"""CloudEvents on Kafka, binary and structured: KServe, Seldon Core v1, MLServer, Vedette's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.decode import oip_binary
from streams.decode.envelope import is_structured, join_id, parse_count, part_of, unwrap
from streams.decode.event import Event
from streams.decode.headers import METADATA, header, metadata_of
from streams.decode.model import Part
from streams.decode.rules import IdentityRules

if TYPE_CHECKING:
    from streams.decode.document import Document
    from streams.decode.envelope import Attributes
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

_KSERVE = "org.kubeflow."
_OWN = "io.vedette."
_JSON_LENGTH = "inference-header-content-length"
#: KServe tells of the caller only by the headers that ``metadataHeaders`` lets through.
_KSERVE_RULES = IdentityRules(
    key=("metadata:authorization", "metadata:x-api-key"),
    network=("metadata:x-forwarded-for", "metadata:x-real-ip"),
    user_agent=("metadata:user-agent",),
)


class CloudEventsFormat:
    """Reads one event a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes

    def events(
        self, record: Record, document: Document, attributes: Attributes
    ) -> tuple[Event, ...] | None:
        """Return the event; None without an envelope; no event of one without data."""
        if is_structured(attributes):
            attributes, data = unwrap(document, attributes, self._limit)
            if data is None:
                return ()
            document = data
        elif attributes.type is None:
            return None
        part = part_of(attributes)
        event_id = join_id(attributes)
        kind = attributes.type or ""
        if part is Part.COMPLETE:
            request, response = self._bodies.read_complete(document, attributes.content_type)
        else:
            is_binary = document.text is not None and oip_binary.SIGN in document.text
            json_bytes = self._json_bytes(attributes) if is_binary else None
            request, response = self._bodies.read(
                part, document, attributes.content_type, json_bytes
            )
        event = Event(
            part,
            attributes.source or "",
            event_id,
            attributes,
            request,
            response,
            None,
            record.key,
            document,
            not kind.startswith(_OWN),
        )
        if kind.startswith(_KSERVE) and _has_metadata(attributes):
            _KSERVE_RULES.apply(event, record, self._limit)
        return (event,)

    def _json_bytes(self, attributes: Attributes) -> int | None:
        """Return the length of the JSON part, if the record or KServe's metadata holds it."""
        text = header(attributes, _JSON_LENGTH, self._limit)
        if text is None:
            text = metadata_of(attributes.others or {}).get(_JSON_LENGTH)
        return parse_count(text)


def _has_metadata(attributes: Attributes) -> bool:
    return attributes.others is not None and not METADATA.isdisjoint(attributes.others)
