"""Record batches of magic 2: checked and unpacked, with the place of each record.

The layout is Kafka's ("Record Batch" in its protocol guide).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import codec
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.util import calc_crc32c

from streams.records.varints import read_varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and
#: greatest timestamp, producer id, its epoch, base sequence, count
_HEAD = struct.Struct(">qiibIhiqqqhii")
_LENGTH_END, _MAGIC_AT, _CRC_END = 12, 16, 21
_MAGIC = 2
_CODEC_MASK, _APPEND_TIME, _CONTROL = 0x07, 0x08, 0x20
_DECODERS: dict[int, Callable[[memoryview], bytes]] = {
    0: bytes,
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


class Batch(NamedTuple):
    """One batch; ``starts`` are behind the length of each record, ``stops`` at its end.

    ``append_ms`` is the broker's time if that is what its records have, else None.
    """

    base_offset: int
    next_offset: int
    first_ms: int
    append_ms: int | None
    payload: bytes
    starts: list[int]
    stops: list[int]


def is_readable(data: bytes) -> bool:
    """Say whether all batches are of magic 2; older ones only an old broker keeps."""
    at = 0
    while at + _HEAD.size <= len(data):
        if data[at + _MAGIC_AT] != _MAGIC:
            return False
        at += _LENGTH_END + int.from_bytes(data[at + 8 : at + _LENGTH_END], "big")
    return True


def read_batches(data: bytes) -> Iterator[Batch]:
    """Yield the batches of a fetch; the last may be cut off, and is left out then.

    Control batches have no records.

    Raises
    ------
    CorruptRecordException
        If a batch is not what its checksum says, or a record ends outside of it.
    UnsupportedCodecError
        If it is compressed in an unknown way.
    """
    view, at = memoryview(data), 0
    while at + _HEAD.size <= len(data):
        base, length, _, _, crc, attributes, last, first_ms, max_ms, _, _, _, count = (
            _HEAD.unpack_from(data, at)
        )
        stop = at + _LENGTH_END + length
        if length < _HEAD.size - _LENGTH_END:
            raise CorruptRecordException("a batch is shorter than its head")
        if stop > len(data):
            return
        if calc_crc32c(view[at + _CRC_END : stop]) != crc:
            raise CorruptRecordException("a batch has another checksum")
        payload = b""
        if not attributes & _CONTROL:
            payload = _unpack(attributes & _CODEC_MASK, view[at + _HEAD.size : stop])
        starts, stops = _places(payload, count if payload else 0)
        append_ms = max_ms if attributes & _APPEND_TIME else None
        yield Batch(base, base + last + 1, first_ms, append_ms, payload, starts, stops)
        at = stop


def _unpack(codec_number: int, data: memoryview) -> bytes:
    decode = _DECODERS.get(codec_number)
    if decode is None:
        raise UnsupportedCodecError(f"codec {codec_number}")
    return decode(data)


def _places(payload: bytes, count: int) -> tuple[list[int], list[int]]:
    """Return where the records begin, behind their lengths, and where they end."""
    starts: list[int] = []
    stops: list[int] = []
    at = 0
    try:
        for _ in range(count):
            length, at = read_varint(payload, at)
            if length <= 0:
                raise CorruptRecordException("a record has no length")
            starts.append(at)
            at += length
            stops.append(at)
    except IndexError:
        raise CorruptRecordException("a batch ends within a record") from None
    if at != len(payload):
        raise CorruptRecordException("the records are not as long as their batch")
    return starts, stops
