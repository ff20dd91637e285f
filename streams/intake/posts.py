"""From an HTTP body to the records that it becomes on the source topic.

Only the envelope is checked here, because the sender can still be told; bodies are decoded by
`ingest`, which alone decides what is a dead letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import msgspec

from config.errors import PoisonRecord
from streams.decode.document import Document
from streams.decode.envelope import is_structured, join_id, part_of, read_headers, unwrap
from streams.decode.json_body import check_utf8, decode_json
from streams.decode.reasons import poison
from streams.decode.rules import member

if TYPE_CHECKING:
    from collections.abc import Mapping

Headers = list[tuple[str, bytes]]

_PASSED = ("traceparent", "tracestate", "inference-header-content-length")
_PREFIX = "ce-"
_MAX_ATTRIBUTE_BYTES = 64 << 10
_LITELLM_ORDER = ("metadata.user_api_key_hash", "metadata.user_api_key_user_id", "end_user", "id")
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class Post(NamedTuple):
    """A record to be written; records of one ``place`` go to one partition, in order."""

    value: bytes
    headers: Headers
    place: str


class CloudEventsReader:
    """Reads the POST of a CloudEvents sender, binary or structured.

    Parameters
    ----------
    identity_bytes
        Bound of each attribute.
    """

    def __init__(self, identity_bytes: int) -> None:
        self._limit = identity_bytes

    def read(self, headers: Mapping[str, str], body: bytes) -> list[Post]:
        """Return the record; its halves share a place.

        Raises
        ------
        PoisonRecord
            If there is no envelope, or it is wrong.
        """
        made = _kafka_headers(headers)
        attributes = read_headers(made, self._limit)
        if is_structured(attributes):
            attributes, _ = unwrap(Document(body), attributes, self._limit)
        part_of(attributes)
        return [Post(body, made, join_id(attributes))]


def _kafka_headers(headers: Mapping[str, str]) -> Headers:
    """Turn ``Ce-X`` into ``ce_x``; values are percent-encoded on HTTP and plain on Kafka."""
    made: Headers = []
    for name, value in headers.items():
        lowered = name.lower()
        if lowered.startswith(_PREFIX):
            text = unquote(value)
            if len(text) > _MAX_ATTRIBUTE_BYTES:
                raise poison("attribute_too_long")
            made.append(("ce_" + lowered.removeprefix(_PREFIX), text.encode("utf-8", "replace")))
        elif lowered == "content-type" or lowered in _PASSED:
            made.append((lowered, value.encode("utf-8", "replace")))
    return made


class LiteLlmReader:
    """Reads the POST of LiteLLM's generic webhook: an array, one a line, or a single object.

    Parameters
    ----------
    max_calls
        Most calls of one POST.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls

    def read(self, _headers: Mapping[str, str], body: bytes) -> list[Post]:
        """Return one record a call; calls of one API key share a place.

        Raises
        ------
        PoisonRecord
            If it is no JSON, or not of objects.
        """
        check_utf8(body)
        calls = self._split(body.strip())
        if not calls:
            raise poison("empty_body")
        if len(calls) > self._max_calls:
            raise poison("too_many_events")
        return [self._post(call) for call in calls]

    def _split(self, text: bytes) -> list[bytes]:
        if text.startswith(b"["):
            return [bytes(raw) for raw in decode_json(_RAWS, text)]
        try:
            return [bytes(decode_json(_RAW, text))]
        except PoisonRecord:
            lines = [line for line in text.splitlines() if line.strip()]
            return [bytes(decode_json(_RAW, line)) for line in lines]

    def _post(self, call: bytes) -> Post:
        call = call.strip()
        if not call.startswith(b"{"):
            raise poison("wrong_type")
        document = Document(call)
        places = (member(document, path) for path in _LITELLM_ORDER)
        place = next((found for found in places if found), "")
        return Post(call, [("content-type", b"application/json")], place)


_RAW = msgspec.json.Decoder(msgspec.Raw)
