"""Records as a broker sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.records import Fetched, read_fetched

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC, BATCH_BYTES = 2, 1 << 24


def batch_of(records: Sequence[Any], codec: int = 0) -> bytes:
    """Encode records, whose offsets rise, with aiokafka's own builder."""
    builder = DefaultRecordBatchBuilder(MAGIC, codec, False, -1, -1, -1, BATCH_BYTES)
    base = records[0].offset
    for record in records:
        builder.append(
            record.offset - base, record.timestamp, record.key, record.value, list(record.headers)
        )
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


def fetched(records: Sequence[Any], codec: int = 0) -> Fetched:
    """Return records as a fetch brings them."""
    first = records[0]
    data = batch_of(records, codec)
    return read_fetched(first.topic, first.partition, data, first.offset)[0]
