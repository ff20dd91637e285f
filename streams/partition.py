"""Kafka's own partitioning of keys, so that every client lands where other tools expect it."""

from __future__ import annotations

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit MurmurHash2 of ``data``, unsigned.

    References
    ----------
    Apache Kafka, ``org.apache.kafka.common.utils.Utils.murmur2``.

    Examples
    --------
    >>> hex(murmur2(b"21"))
    '0xc5f2f8ec'
    """
    length = len(data)
    body = length & ~3
    h = _SEED ^ length
    for start in range(0, body, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[body:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives ``key``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
