"""Brings checkpoints, and the tiles they cover, to where the writer of the log cannot change them.

Each checkpoint covers everything before it, so one that could not be delivered is covered by
the next; the newest of every log is delivered again at each start.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka.errors import KafkaError

from streams.ledger.log import Segment
from streams.ledger.metrics import CHECKPOINTS_SENT
from streams.ledger.note import BadNote
from streams.metrics.catalogue import AUDIT_HEAD_SIZE
from streams.topics import CHECKPOINTS, TILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from streams.ledger.log import Closing
    from streams.ledger.note import Checkpoint, NoteVerifier
    from streams.ledger.tiles import Tile
    from streams.ledger.witness import Witness
    from streams.sender import Sender

log = structlog.get_logger(__name__)

HEADERS = (
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_type", b"io.vedette.checkpoint.v1"),
    ("ce_source", b"vedette/index"),
)
#: Tiles that the broker did not take and that are sent again; 8 KiB each.
MOST_OWED_TILES = 4096
#: A file of checkpoints larger than this is not read.
MAX_FILE_BYTES = 1 << 30


class Publisher:
    """Sends closed segments to their topic, to a file and to a webhook.

    Parameters
    ----------
    producer
        Started producer.
    path
        File, best on another machine; None: none.
    witness
        Posts them to a webhook; None: none.
    """

    def __init__(self, producer: Sender, path: Path | None, witness: Witness | None = None) -> None:
        self._witness = witness
        self._producer = producer
        self._path = path
        self._lock = asyncio.Lock()
        self._owed_tiles: deque[Tile] = deque(maxlen=MOST_OWED_TILES)

    async def publish(self, closings: Sequence[Closing]) -> None:
        """Deliver segments and tiles; a destination that fails is told, not waited for."""
        if not closings:
            return
        segments = [closing.segment for closing in closings]
        for segment in segments:
            AUDIT_HEAD_SIZE.labels(log_name(segment.origin)).set(segment.size)
        if self._witness is not None:
            self._witness.owe(segments)
        lines = [msgspec.json.encode(segment) for segment in segments]
        for work, where in (
            (self._tiles_to_topic(closings), "tiles"),
            (self._to_topic(segments, lines), "topic"),
            (self._to_file(lines), "file"),
        ):
            try:
                await work
            except (KafkaError, OSError) as error:
                CHECKPOINTS_SENT.labels(to=where, result="failed").inc()
                _tell(where, error)
            else:
                CHECKPOINTS_SENT.labels(to=where, result="delivered").inc()

    async def close(self, timeout_s: float) -> None:
        """Disconnect from the webhook."""
        if self._witness is not None:
            await self._witness.close(timeout_s)

    async def _to_topic(self, segments: Sequence[Segment], lines: Sequence[bytes]) -> None:
        for segment, line in zip(segments, lines, strict=True):
            sent = await self._producer.send(
                CHECKPOINTS, line, key=segment.origin.encode(), headers=HEADERS
            )
            await sent

    async def _tiles_to_topic(self, closings: Sequence[Closing]) -> None:
        tiles = [*self._owed_tiles, *(tile for closing in closings for tile in closing.tiles)]
        self._owed_tiles.clear()
        try:
            sent = [
                await self._producer.send(TILES, tile.hashes, key=tile.path.encode())
                for tile in tiles
            ]
            await asyncio.gather(*sent)
        except (KafkaError, OSError):
            self._owed_tiles.extend(tiles)
            raise

    async def _to_file(self, lines: Sequence[bytes]) -> None:
        if self._path is not None:
            async with self._lock:
                await asyncio.to_thread(append_lines, self._path, lines)


def log_name(origin: str) -> str:
    """Return what a log is called in metrics: one that was begun anew is told apart by its size.

    Examples
    --------
    >>> log_name("vedette/vedette.audit.v1/3/0a1b2c3d4e5f")
    'vedette/vedette.audit.v1/3'
    """
    return origin.rpartition("/")[0]


def _tell(where: str, error: Exception) -> None:
    log.error("checkpoints did not reach their destination", to=where, error=type(error).__name__)


def append_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Append lines durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as target:
        target.write(b"".join(line + b"\n" for line in lines))
        target.flush()
        os.fsync(target.fileno())


def read_checkpoints(path: Path, verifier: NoteVerifier) -> list[Checkpoint]:
    """Return the checkpoints of a file.

    Raises
    ------
    BadNote
        If the file holds anything that the key has not signed.
    """
    return [verifier.open(note) for note in read_notes(path)]


def read_notes(path: Path) -> list[str]:
    """Return the notes of a file: one signed note, or one segment a line, unopened."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadNote(f"{path} is too large to be read")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadNote(f"{path} cannot be read") from None
    if not text.startswith("{"):
        return [text]
    try:
        segments = [msgspec.json.decode(line, type=Segment) for line in text.splitlines() if line]
    except msgspec.DecodeError:
        raise BadNote(f"{path} holds lines that are no checkpoints") from None
    return [segment.note for segment in segments]
