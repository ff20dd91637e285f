"""The CloudEvents Kafka binding: who called what, when, and which half this is.

Attributes come as headers ``ce_<name>`` (``ce-<name>`` is accepted, in any case), or in
structured mode inside the value. Header texts are bounded before they are decoded.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streams.decode.document import Document, Shape
from streams.decode.model import Part
from streams.decode.reasons import poison
from streams.identity import network_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import IngestSettings

#: Attributes that are read, in the order of the fields of `Attributes`.
_NAMES = (
    "specversion",
    "type",
    "source",
    "id",
    "time",
    "client",
    "tenant",
    "model",
    "modelversion",
    "keyid",
    "clientip",
    "useragent",
    "endpoint",
    "status",
    "latencyus",
    "requestid",
    "inferenceservicename",
    "modelid",
)
_CONTENT_TYPE = len(_NAMES)
_TRACEPARENT = _CONTENT_TYPE + 1
_OTHERS = _TRACEPARENT + 1
_SLOTS = {
    **{f"{prefix}{name}": slot for slot, name in enumerate(_NAMES) for prefix in ("ce_", "ce-")},
    "content-type": _CONTENT_TYPE,
    "traceparent": _TRACEPARENT,
}
#: Where members of a structured event lie.
_MEMBERS = {
    **{name: slot for slot, name in enumerate(_NAMES)},
    "datacontenttype": _CONTENT_TYPE,
    "traceparent": _TRACEPARENT,
}

_STRUCTURED = "application/cloudevents"
COMPLETE_TYPE = "io.vedette.inference.v1"
#: Its ``ce_id`` is unique for every event; ``requestid`` joins the halves.
_SELDON_PREFIX = "io.seldon."
VERSION = "1.0"
_OLD_SELDON_VERSIONS = ("0.2", "0.3")
_FIELDS = _OTHERS + 1
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_INT64_DIGITS = 19
INT64_MAX = (1 << 63) - 1


class Attributes(msgspec.Struct, gc=False, frozen=True):
    """Attributes as texts, None where absent.

    ``others`` are the headers that are no attributes, by their lowered names; None if there are
    none. The first of a name counts.
    """

    specversion: str | None = None
    type: str | None = None
    source: str | None = None
    id: str | None = None
    time: str | None = None
    client: str | None = None
    tenant: str | None = None
    model: str | None = None
    modelversion: str | None = None
    keyid: str | None = None
    clientip: str | None = None
    useragent: str | None = None
    endpoint: str | None = None
    status: str | None = None
    latencyus: str | None = None
    requestid: str | None = None
    inferenceservicename: str | None = None
    modelid: str | None = None
    content_type: str | None = None
    traceparent: str | None = None
    others: dict[str, bytes] | None = None


NO_ATTRIBUTES = Attributes()


def attribute_of(header: str) -> str | None:
    """Return the field of `Attributes` that a header is read into, None of any other header."""
    slot = _SLOTS.get(header.lower())
    return None if slot is None else Attributes.__struct_fields__[slot]


def read_headers(headers: Sequence[tuple[str, bytes]], limit: int) -> Attributes:
    """Read the headers in one pass.

    Raises
    ------
    PoisonRecord
        If an attribute is too long, repeated or not UTF-8.
    """
    values: list[Any] = [None] * _FIELDS
    slot_of = _SLOTS.get
    for name, value in headers:
        slot = slot_of(name)
        if slot is None:
            slot = slot_of(name.lower())
            if slot is None:
                _add_other(values, name, value)
                continue
        if values[slot] is not None:
            raise poison("duplicate_attribute")
        if value is None:
            continue
        if len(value) > limit:
            raise poison("attribute_too_long")
        try:
            values[slot] = value.decode()
        except UnicodeDecodeError:
            raise poison("invalid_utf8") from None
    return Attributes(*values)


def _add_other(values: list[Any], name: str, value: bytes | None) -> None:
    if value is not None:
        values[_OTHERS] = others = values[_OTHERS] or {}
        others.setdefault(name.lower(), value)


def is_structured(attributes: Attributes) -> bool:
    """Say whether the value holds the whole event."""
    content_type = attributes.content_type
    return content_type is not None and content_type.lower().startswith(_STRUCTURED)


def unwrap(
    event: Document, attributes: Attributes, limit: int
) -> tuple[Attributes, Document | None]:
    """Return attributes and data of a structured event; None if it has no data.

    Raises
    ------
    PoisonRecord
        If the event is malformed.
    """
    event.check_utf8()
    members = event.members()
    if not (members or event.parse()):
        raise poison("wrong_type")
    event.refuse_duplicates()
    values: list[Any] = [None] * _FIELDS
    for name, value in members.items():
        slot = _MEMBERS.get(name)
        if slot is not None:
            values[slot] = _attribute_text(value, limit)
    values[_TRACEPARENT] = values[_TRACEPARENT] or attributes.traceparent
    values[_OTHERS] = attributes.others
    return Attributes(*values), _structured_data(event)


def _structured_data(event: Document) -> Document | None:
    data, encoded = event.member("data"), event.member("data_base64")
    if encoded is None:
        return data
    if data is not None:
        raise poison("bad_structured_event")
    try:
        return Document(base64.b64decode(encoded.read(_STRING), validate=True))
    except (binascii.Error, ValueError):
        raise poison("bad_structured_event") from None


_STRING = Shape[str](str)


def _attribute_text(value: Any, limit: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int):
        raise poison("wrong_type")
    text = value if isinstance(value, str) else str(value)
    if len(text) > limit:
        raise poison("attribute_too_long")
    return text


def part_of(attributes: Attributes) -> Part:
    """Say which half the event is.

    Raises
    ------
    PoisonRecord
        If there is no envelope, or its version or type is not known.
    """
    kind = attributes.type
    if kind is None:
        raise poison("no_envelope")
    version = attributes.specversion
    if version != VERSION and not (
        version in _OLD_SELDON_VERSIONS and kind.startswith(_SELDON_PREFIX)
    ):
        raise poison("unknown_specversion")
    if kind == COMPLETE_TYPE:
        return Part.COMPLETE
    if kind.endswith((".request", ".request.v1")):
        return Part.REQUEST
    if kind.endswith((".response", ".response.v1")):
        return Part.RESPONSE
    raise poison("unknown_type")


def join_id(attributes: Attributes) -> str:
    """Return the id that both halves share.

    Raises
    ------
    PoisonRecord
        If it is missing.
    """
    kind = attributes.type or ""
    shared = attributes.requestid if kind.startswith(_SELDON_PREFIX) else None
    event_id = shared or attributes.id
    if not event_id or not attributes.source:
        raise poison("missing_attribute")
    return event_id


def parse_time_us(text: str) -> int:
    """Return microseconds since the epoch of an RFC 3339 timestamp.

    Raises
    ------
    PoisonRecord
        If it is none, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or len(text) < len("2026-01-01T00:00:00Z"):
            raise poison("bad_time")
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise poison("bad_time") from None


class TimeBounds(NamedTuple):
    """How far an event's time may be from the broker's."""

    past_us: int
    future_us: int

    @classmethod
    def of(cls, settings: IngestSettings) -> TimeBounds:
        """Return the bounds of ``settings``."""
        return cls(round(settings.max_past_s * 1e6), round(settings.max_future_s * 1e6))

    def event_time_us(self, time: str | int | None, broker_ms: int) -> int:
        """Return the event's time, the broker's if it has none.

        A time is a timestamp, or microseconds since the epoch.

        Raises
        ------
        PoisonRecord
            If the time is none, or too far away.
        """
        broker_us = broker_ms * 1000
        if time is None:
            return max(broker_us, 0)
        time_us = parse_time_us(time) if isinstance(time, str) else time
        if broker_ms > 0:
            if time_us - broker_us > self.future_us:
                raise poison("time_in_future")
            if broker_us - time_us > self.past_us:
                raise poison("time_in_past")
        return time_us


def caller(attributes: Attributes, key: bytes | None, user: str | None, limit: int) -> str | None:
    """Return the best name there is of who called, None if there is none.

    Raises
    ------
    PoisonRecord
        With reason ``attribute_too_long``.
    """
    name = attributes.client or attributes.keyid or user
    if not name and key:
        if len(key) > limit:
            raise poison("attribute_too_long")
        name = key.decode("utf-8", "backslashreplace")
    return name or attributes.clientip


def client_network(attributes: Attributes) -> str | None:
    """Return the network of the caller's address, None if no address is given.

    Raises
    ------
    PoisonRecord
        With reason ``bad_attribute``.
    """
    return known_network(attributes.clientip) if attributes.clientip else None


def known_network(address: str) -> str:
    """Return the network of an address.

    Raises
    ------
    PoisonRecord
        With reason ``bad_attribute`` if it is none.
    """
    net = network_of(address)
    if net is None:
        raise poison("bad_attribute")
    return net


def parse_count(text: str | None, maximum: int = INT64_MAX) -> int | None:
    """Return a number of an attribute.

    Raises
    ------
    PoisonRecord
        If it is no number between 0 and ``maximum``.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise poison("bad_attribute")
    if len(text) > _INT64_DIGITS or int(text) > maximum:
        raise poison("int_out_of_range")
    return int(text)
