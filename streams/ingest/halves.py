"""Halves whose other half lies in another partition or topic, on their way to a common one.

Where requests and responses do not share a partition no single worker sees both. Such halves
are written to one topic of our own, partitioned by what joins them, and joined from there: by
then decoded, pseudonymised and masked, so that nothing else is ever written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from config.errors import PoisonRecord
from streams.decode.model import Decoded, Interaction, Part
from streams.partition import partition_of

if TYPE_CHECKING:
    from streams.roles.base import Record

CONTENT_TYPE = "application/vnd.vedette.half.v1+msgpack"
VERSION = 1


class _Half(msgspec.Struct, array_like=True, gc=False):
    version: int
    source: str
    event_id: str
    part: Part
    rows: list[Interaction]


_DECODER = msgspec.msgpack.Decoder(_Half)


def is_scattered(decoded: Decoded) -> bool:
    """Say whether a record has to go to the common topic first."""
    return decoded.scattered and decoded.part is not Part.COMPLETE


def place_of(decoded: Decoded, partitions: int) -> int:
    """Return the partition in which both halves meet."""
    key = f"{len(decoded.source)}:{decoded.source}{decoded.event_id}"
    return partition_of(key.encode(), partitions)


def pack_half(decoded: Decoded) -> bytes:
    """Return a half as the value of a record."""
    half = _Half(VERSION, decoded.source, decoded.event_id, decoded.part, decoded.rows)
    return msgspec.msgpack.encode(half)


def unpack_half(record: Record, max_bytes: int) -> Decoded | None:
    """Read a half back; None of a tombstone.

    Raises
    ------
    PoisonRecord
        If it is none, or of another version.
    """
    value = record.value
    if value is None:
        return None
    if len(value) > max_bytes:
        raise PoisonRecord("too_large", "the half is larger than a record may be")
    try:
        half = _DECODER.decode(value)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise PoisonRecord("bad_half", "the record is no half that ingest wrote") from None
    if half.version != VERSION:
        raise PoisonRecord("bad_half", f"the half is not of version {VERSION}")
    return Decoded(half.part, half.source, half.event_id, half.rows)
