"""Recordings: interactions on disk as Parquet or Arrow IPC, schema ``interaction.v1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from config.errors import ConfigError, PoisonRecord
from streams.frames import INTERACTION_SCHEMA, conform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

PARQUET_SUFFIXES = {".parquet", ".pq"}
ARROW_SUFFIXES = {".arrow", ".arrows", ".feather", ".ipc"}
READ_ROWS = 8192


def read_recording(path: Path, *, batch_rows: int = READ_ROWS) -> Iterator[pa.RecordBatch]:
    """Yield the interactions of a recording in order, at most ``batch_rows`` at a time.

    Raises
    ------
    ConfigError
        If the file is no recording; the text says what is wrong with it.
    """
    try:
        for batch in _read(path, batch_rows):
            for start in range(0, batch.num_rows, batch_rows):
                yield conform(batch.slice(start, batch_rows), INTERACTION_SCHEMA)
    except FileNotFoundError:
        raise ConfigError(f"there is no recording {path}") from None
    except PoisonRecord as error:
        raise ConfigError(f"{path} is not in the schema interaction.v1: {error}") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} cannot be read as a recording: {error}") from None


def count_rows(path: Path) -> int | None:
    """Return how many interactions a recording holds, None where only reading would tell."""
    if path.suffix not in PARQUET_SUFFIXES or not path.exists():
        return None
    try:
        return int(pq.ParquetFile(path).metadata.num_rows)
    except pa.ArrowException:
        return None


def _read(path: Path, batch_rows: int) -> Iterator[pa.RecordBatch]:
    if path.suffix in PARQUET_SUFFIXES:
        yield from pq.ParquetFile(path).iter_batches(batch_size=batch_rows)
    elif path.suffix in ARROW_SUFFIXES:
        yield from _read_arrow(path)
    else:
        known = ", ".join(sorted(PARQUET_SUFFIXES | ARROW_SUFFIXES))
        raise ConfigError(f"{path} is no recording: its name should end in one of {known}")


def _read_arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the IPC file format, or the stream format where the file's magic is missing."""
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            yield from pa.ipc.open_stream(source)
        else:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)


class RecordingWriter:
    """Writes interactions to a file; whole or not at all.

    The file has a temporary name until the writer is closed without an error.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in PARQUET_SUFFIXES | ARROW_SUFFIXES:
            raise ConfigError(f"{path}: name the recording *.parquet or *.arrow")
        self._path = path
        self._temporary = path.with_name(f".{path.name}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in PARQUET_SUFFIXES:
            self._writer = pq.ParquetWriter(self._temporary, INTERACTION_SCHEMA, compression="zstd")
        else:
            self._writer = pa.ipc.new_file(str(self._temporary), INTERACTION_SCHEMA)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append interactions."""
        self._writer.write_batch(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)
