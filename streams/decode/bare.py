"""Bodies without any envelope: V2, V1, OpenAI and Anthropic JSON as a plain producer posts it.

What joins the halves is a header, or the body's own id where the protocol copies it to the
answer. Without one a half stands alone from the beginning, and is marked so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from config.errors import PoisonRecord
from streams.decode.envelope import NO_ATTRIBUTES
from streams.decode.event import Event
from streams.decode.headers import header
from streams.decode.json_body import try_decode_json
from streams.decode.model import Part
from streams.decode.rules import IdentityRules

if TYPE_CHECKING:
    from streams.decode.envelope import Attributes
    from streams.decode.json_body import Body
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
_Raw = msgspec.Raw | UnsetType


class _Signs(msgspec.Struct, gc=False):
    id: str | int | None = None
    inputs: _Raw = UNSET
    instances: _Raw = UNSET
    messages: _Raw = UNSET
    prompt: _Raw = UNSET
    input: _Raw = UNSET
    outputs: _Raw = UNSET
    predictions: _Raw = UNSET
    choices: _Raw = UNSET
    output: _Raw = UNSET
    content: _Raw = UNSET
    data: _Raw = UNSET


_ASKS = ("inputs", "instances", "messages", "prompt", "input")
_ANSWERS = ("outputs", "predictions", "choices", "output", "content", "data")
#: Protocols whose answers carry the id of their request.
_SAME_ID = ("inputs", "outputs", "instances", "predictions")


class BareFormat:
    """Reads one half a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes
        self._signs = msgspec.json.Decoder(_Signs)

    def events(self, record: Record, value: bytes, attributes: Attributes) -> tuple[Event] | None:
        """Return the half; None if the value is no body that is known."""
        signs = self._signs_of(value)
        if signs is None:
            return None
        part = _part_of(signs)
        if part is None:
            return None
        request, response = self._bodies.read(part, value, attributes.content_type)
        event_id = self._id(record) or (_own_id(signs) or "")[: self._limit]
        event = Event(
            part if event_id else Part.COMPLETE,
            "bare",
            event_id,
            NO_ATTRIBUTES._replace(traceparent=attributes.traceparent),
            request,
            response,
            key=record.key,
            document=value,
            params=None if event_id else UNJOINABLE,
        )
        return (_RULES.apply(event, record, self._limit),)

    def _signs_of(self, value: Body) -> _Signs | None:
        try:
            return try_decode_json(self._signs, value)
        except PoisonRecord:
            return None

    def _id(self, record: Record) -> str | None:
        found = (header(record, name, self._limit) for name in _ID_HEADERS)
        return next((value for value in found if value), None)


def _part_of(signs: _Signs) -> Part | None:
    if any(getattr(signs, name) is not UNSET for name in _ASKS):
        return Part.REQUEST
    if any(getattr(signs, name) is not UNSET for name in _ANSWERS):
        return Part.RESPONSE
    return None


def _own_id(signs: _Signs) -> str | None:
    shared = any(getattr(signs, name) is not UNSET for name in _SAME_ID)
    return str(signs.id) if shared and signs.id is not None else None
