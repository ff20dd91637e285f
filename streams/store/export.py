"""Writes documents to a file: JSON lines, or Parquet with the columns that people filter by."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from streams.store.search import Document

BATCH_ROWS = 5000

SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("client", pa.string()),
        pa.field("model", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("tenant", pa.string()),
        pa.field("document", pa.string(), nullable=False),
    ]
)


def export(documents: Iterable[Document], path: Path) -> int:
    """Write documents; the ending of the file is the format.

    The file appears whole or not at all.

    Returns
    -------
    int
        How many were written.

    Raises
    ------
    ConfigError
        If the ending is neither .jsonl nor .parquet.
    """
    writers = {".jsonl": _write_lines, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise ConfigError("the file to export to ends in .jsonl or .parquet")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        count = writers[path.suffix](documents, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write_lines(documents: Iterable[Document], path: Path) -> int:
    count = 0
    with path.open("wb") as target:
        for document in documents:
            target.write(document.body + b"\n")
            count += 1
    return count


def _write_parquet(documents: Iterable[Document], path: Path) -> int:
    count = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in _batches(documents):
            writer.write_batch(_record_batch(batch))
            count += len(batch)
    return count


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    rest = iter(documents)
    while batch := list(islice(rest, BATCH_ROWS)):
        yield batch


def _record_batch(batch: list[Document]) -> pa.RecordBatch:
    columns = [
        [item.event_id for item in batch],
        [item.ts for item in batch],
        [item.kind for item in batch],
        [item.client for item in batch],
        [item.model for item in batch],
        [item.rule_id for item in batch],
        [item.tenant for item in batch],
        [item.body.decode() for item in batch],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
