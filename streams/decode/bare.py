"""Bodies without any envelope: V2, V1, OpenAI and Anthropic JSON as a plain producer posts it.

What joins the halves is a header, or the body's own id where the protocol copies it to the
answer. Without one a half stands alone from the beginning, and is marked so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import PoisonRecord
from streams.decode.envelope import Attributes
from streams.decode.event import Event
from streams.decode.headers import header
from streams.decode.model import Part
from streams.decode.rules import IdentityRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.document import Document
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

UNJOINABLE = {"vedette.join": "unjoinable"}
_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id", "correlation-id")
#: No header that a caller may write names the client, unless the settings say so.
_RULES = IdentityRules(
    key=("header:x-api-key",),
    network=("header:x-forwarded-for",),
    user_agent=("header:user-agent",),
)
_ASKS = ("inputs", "instances", "messages", "prompt", "input")
_ANSWERS = ("outputs", "predictions", "choices", "output", "content", "data")
#: Protocols whose answers carry the id of their request.
_SAME_ID = ("inputs", "outputs", "instances", "predictions")


class BareFormat:
    """Reads one half a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes

    def events(
        self, record: Record, document: Document, attributes: Attributes
    ) -> tuple[Event] | None:
        """Return the half; None if the value is no body that is known."""
        members = _members_of(document)
        part = _part_of(members)
        own_id = members.get("id")
        if part is None or not isinstance(own_id, str | int | None):
            return None
        request, response = self._bodies.read(part, document, attributes.content_type)
        event_id = self._id(attributes) or (_own_id(members) or "")[: self._limit]
        event = Event(
            part if event_id else Part.COMPLETE,
            "bare",
            event_id,
            Attributes(traceparent=attributes.traceparent),
            request,
            response,
            key=record.key,
            document=document,
            params=None if event_id else UNJOINABLE,
        )
        return (_RULES.apply(event, record, self._limit),)

    def _id(self, attributes: Attributes) -> str | None:
        found = (header(attributes, name, self._limit) for name in _ID_HEADERS)
        return next((value for value in found if value), None)


def _members_of(document: Document) -> Mapping[str, Any]:
    try:
        return document.members()
    except PoisonRecord:
        return {}


def _part_of(members: Mapping[str, Any]) -> Part | None:
    if any(name in members for name in _ASKS):
        return Part.REQUEST
    return Part.RESPONSE if any(name in members for name in _ANSWERS) else None


def _own_id(members: Mapping[str, Any]) -> str | None:
    own_id = members.get("id")
    shared = any(name in members for name in _SAME_ID)
    return str(own_id) if shared and own_id is not None else None
