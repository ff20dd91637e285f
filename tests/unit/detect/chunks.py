"""Chunks made to order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from streams.roles.base import Chunk, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def chunk_of(
    values: Sequence[bytes | None], offset: int, source: Partition, ack: Callable[[], None]
) -> Chunk:
    """Build a chunk of records with these values, the first at ``offset``."""
    records = [
        SimpleNamespace(
            topic=source.topic,
            partition=source.partition,
            offset=offset + number,
            timestamp=1_000,
            key=None,
            value=value,
            headers=[],
        )
        for number, value in enumerate(values)
    ]
    return Chunk(source, records, ack)
