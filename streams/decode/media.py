"""What a content type says that a body is."""

from __future__ import annotations

from enum import Enum

from streams.decode.reasons import poison


class Media(Enum):
    """Kinds of bodies."""

    JSON = "json"
    BINARY = "binary"
    PROTOBUF = "protobuf"
    STREAM = "stream"


_JSON_TYPES = frozenset({"application/json", "text/json", "application/x-ndjson"})
_PROTOBUF_TYPES = frozenset(
    {
        "application/grpc",
        "application/grpc+proto",
        "application/protobuf",
        "application/vnd.google.protobuf",
        "application/x-protobuf",
    }
)
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def media_of(content_type: str | None) -> Media:
    """Return the kind that a content type names; JSON if there is none.

    Raises
    ------
    PoisonRecord
        With reason ``wrong_content_type``.
    """
    if content_type is None or content_type == "application/json":
        return Media.JSON
    media, _, parameters = content_type.lower().partition(";")
    media = media.strip()
    if media in _PROTOBUF_TYPES:
        return Media.PROTOBUF
    if media == "application/octet-stream":
        return Media.BINARY
    charset = parameters.replace('"', "").partition("charset=")[2].split(";")[0].strip()
    if charset in _CHARSETS:
        if media in _JSON_TYPES or media.endswith("+json"):
            return Media.JSON
        if media == "text/event-stream":
            return Media.STREAM
    raise poison("wrong_content_type")
