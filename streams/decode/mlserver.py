"""MLServer's Kafka topics: V2 JSON, the model in a header, the call's id in the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streams.decode.envelope import Attributes
from streams.decode.event import Event
from streams.decode.headers import header
from streams.decode.json_body import try_decode_json
from streams.decode.model import Part
from streams.decode.reasons import poison
from streams.decode.rules import IdentityRules

if TYPE_CHECKING:
    from streams.decode.document import Document
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

#: No header that a caller may write names the client, unless the settings say so.
_RULES = IdentityRules(key=("header:x-api-key",), network=("header:x-forwarded-for",))


class _Signs(msgspec.Struct, gc=False):
    id: str | None = None
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class MlServerFormat:
    """Reads one half a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes
        self._signs = msgspec.json.Decoder(_Signs)

    def events(
        self, record: Record, document: Document, attributes: Attributes
    ) -> tuple[Event] | None:
        """Return the half; None without MLServer's header."""
        model = header(attributes, "mlserver-model", self._limit)
        if model is None:
            return None
        signs = try_decode_json(self._signs, document.text or b"")
        if signs is None:
            raise poison("wrong_type")
        part = Part.RESPONSE if signs.inputs is msgspec.UNSET else Part.REQUEST
        event_id = (record.key or b"").decode("utf-8", "backslashreplace") or signs.id
        if not event_id:
            raise poison("missing_attribute")
        if len(event_id) > self._limit:
            raise poison("attribute_too_long")
        request, response = self._bodies.read(part, document, None)
        named = Attributes(
            model=model,
            modelversion=header(attributes, "mlserver-version", self._limit),
            traceparent=attributes.traceparent,
        )
        event = Event(
            part,
            f"mlserver/{model}",
            event_id,
            named,
            request,
            response,
            document=document,
            scattered=True,
        )
        return (_RULES.apply(event, record, self._limit),)
