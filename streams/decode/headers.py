"""Single headers of a record, for formats and rules that need few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.json_body import decode_json
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from streams.roles.base import Record

#: KServe's ``metadata`` holds a list of values for each allow-listed header.
METADATA = ("ce_metadata", "ce-metadata")
_MAX_METADATA_BYTES = 64 << 10
_METADATA = msgspec.json.Decoder(dict[str, Any])


def header(record: Record, name: str, limit: int) -> str | None:
    """Return the first header of a name in any case, None if there is none.

    Raises
    ------
    PoisonRecord
        If it is longer than ``limit`` or not UTF-8.
    """
    for key, value in record.headers:
        if value is not None and (key == name or key.lower() == name):
            if len(value) > limit:
                raise poison("attribute_too_long")
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise poison("invalid_utf8") from None
    return None


def header_of_metadata(record: Record, name: str) -> str | None:
    """Return the first value of a header that KServe's ``metadata`` holds, None if absent.

    Metadata that cannot be read says nothing: it never costs the event.
    """
    for key in METADATA:
        try:
            text = header(record, key, _MAX_METADATA_BYTES)
            values = decode_json(_METADATA, text.encode()) if text else {}
        except PoisonRecord:
            return None
        for key_name, value in values.items():
            if key_name.lower() == name:
                first = value[0] if isinstance(value, list) and value else value
                return first if isinstance(first, str) else None
    return None
