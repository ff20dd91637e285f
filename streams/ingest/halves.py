"""Events whose other half, or repetition, lies in another partition or topic, on their way to it.

Where requests and responses do not share a partition no single worker sees both. Such halves
are written to one topic of our own, partitioned by what joins them, and joined from there: by
then decoded, pseudonymised and masked, so that nothing else is ever written. Whole calls of such
a source go the same way, because their producer may send them again elsewhere.
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
    timed: bool = True


_DECODER = msgspec.msgpack.Decoder(_Half)


def split_scattered(decoded: Decoded) -> tuple[list[Decoded], Decoded | None]:
    """Return the events of a record that go to the common topic, and those that stay.

    One without an id meets nothing there, and stays.
    """
    events = (decoded, *decoded.more)
    away = [event for event in events if event.scattered and event.event_id]
    staying = [event for event in events if not (event.scattered and event.event_id)]
    if staying:
        staying[0].more = staying[1:]
    return away, staying[0] if staying else None


def place_of(decoded: Decoded, partitions: int) -> int:
    """Return the partition in which both halves meet."""
    key = f"{len(decoded.source)}:{decoded.source}{decoded.event_id}"
    return partition_of(key.encode(), partitions)


def pack_half(decoded: Decoded) -> bytes:
    """Return a half as the value of a record."""
    half = _Half(
        VERSION, decoded.source, decoded.event_id, decoded.part, decoded.rows, decoded.timed
    )
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
    return Decoded(half.part, half.source, half.event_id, half.rows, timed=half.timed)
