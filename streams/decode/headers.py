"""Single headers of a record, for formats and rules that need few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.json_body import decode_json
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.decode.envelope import Attributes

#: KServe's ``metadata`` holds a list of values for each allow-listed header.
METADATA = frozenset({"ce_metadata", "ce-metadata"})
_MAX_METADATA_BYTES = 64 << 10
_METADATA = msgspec.json.Decoder(dict[str, Any])


def header(attributes: Attributes, name: str, limit: int) -> str | None:
    """Return the first header of a name that is no attribute's, None if there is none.

    Raises
    ------
    PoisonRecord
        If it is longer than ``limit`` or not UTF-8.
    """
    value = attributes.others.get(name) if attributes.others else None
    if value is None:
        return None
    if len(value) > limit:
        raise poison("attribute_too_long")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise poison("invalid_utf8") from None


def metadata_of(headers: Mapping[str, bytes]) -> dict[str, str]:
    """Return the first value of each header that KServe's ``metadata`` holds, by lowered name.

    Metadata that cannot be read says nothing: it never costs the event.
    """
    text = next((headers[name] for name in METADATA if name in headers), b"")
    if not text or len(text) > _MAX_METADATA_BYTES:
        return {}
    try:
        values = decode_json(_METADATA, text)
    except PoisonRecord:
        return {}
    found: dict[str, str] = {}
    for name, value in values.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str):
            found.setdefault(name.lower(), first)
    return found
