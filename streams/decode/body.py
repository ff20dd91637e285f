"""What a body format has to offer, and the bounds it decodes within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streams.decode.reasons import poison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import IngestSettings
    from streams.decode.document import Document
    from streams.decode.model import RequestBody, ResponseBody

INT32_MAX = (1 << 31) - 1


class Limits(NamedTuple):
    """Bounds of bodies, copied from the settings for fast access."""

    elements: int
    tensor_bytes: int
    rows: int
    text_bytes: int
    identity_bytes: int

    @classmethod
    def of(cls, settings: IngestSettings) -> Limits:
        """Return the bounds of ``settings``."""
        return cls(
            settings.max_tensor_elements,
            settings.max_record_bytes,  # packed floats may be larger than their JSON
            settings.max_batch_rows,
            settings.max_text_bytes,
            settings.max_identity_bytes,
        )


class BodyDecoder(Protocol):
    """One format of request and response bodies.

    A half is given to the first format that may know it by its members. Every other method
    returns None if the JSON is of another format after all, and raises `PoisonRecord` if it is
    of this format and wrong, or no JSON at all.
    """

    def asks(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a request of this format."""

    def answers(self, members: Mapping[str, Any]) -> bool:
        """Say whether a body may be a response of this format."""

    def request(self, body: Document) -> RequestBody | None:
        """Decode a request body."""

    def response(self, body: Document) -> ResponseBody | None:
        """Decode a response body."""

    def stream(self, chunks: Document) -> ResponseBody | None:
        """Put a streamed response together from the list of its chunks."""


def bounded(text: str | None, limit: int) -> str | None:
    """Return an identity, refusing one that is too long.

    Raises
    ------
    PoisonRecord
        With reason ``attribute_too_long``.
    """
    if text is not None and len(text) > limit:
        raise poison("attribute_too_long")
    return text


def bounded_count(value: int | None) -> int | None:
    """Return a count that fits a 32-bit column.

    Raises
    ------
    PoisonRecord
        With reason ``int_out_of_range``.
    """
    if value is not None and not 0 <= value <= INT32_MAX:
        raise poison("int_out_of_range")
    return value
