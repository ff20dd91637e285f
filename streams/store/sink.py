"""Where the index role puts documents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from config.errors import Transient
from streams.store.logs import Logs, SegmentRules
from streams.store.sqlite import AuditWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.settings import Settings
    from streams.ledger.log import Segment
    from streams.ledger.note import NoteSigner
    from streams.roles.base import Chunk, Partition
    from streams.store.row import Row

    OnSegments = Callable[[list[Segment]], None]

log = structlog.get_logger(__name__)


class Sink(Protocol):
    """A store of documents.

    ``store`` is started for the chunks of a partition in their order; until its first ``await``
    it runs in that order too.
    """

    async def open(self) -> None:
        """Connect."""

    async def assigned(self, partitions: set[Partition]) -> None:
        """Get ready for the logs of these partitions."""

    def first_offset(self, source: Partition) -> int:
        """Return the offset before which everything of a partition is stored."""

    async def store(self, chunk: Chunk, rows: Sequence[Row]) -> None:
        """Return when every row of the chunk is durable, however long that takes."""

    async def release(self, partitions: set[Partition]) -> None:
        """Make the state of these partitions durable, and forget it."""

    async def close(self) -> None:
        """Disconnect."""


class SqliteSink:
    """The embedded store: the database itself knows what it holds.

    Parameters
    ----------
    settings
        Name the file.
    signer
        Signs checkpoints.
    on_segments
        Called on the event loop with closed segments.
    """

    def __init__(self, settings: Settings, signer: NoteSigner, on_segments: OnSegments) -> None:
        index = settings.index
        self._on_segments = on_segments
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = AuditWriter(
            settings.audit_database,
            batch_documents=index.batch_documents,
            logs=Logs(
                index.log_name,
                signer,
                SegmentRules(index.checkpoint_records, index.checkpoint_interval_s),
            ),
            on_segments=self._segments_closed,
        )
        self._stalled = False

    async def open(self) -> None:
        """Take the lock of the database and bring it up to date."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._writer.open)

    async def assigned(self, partitions: set[Partition]) -> None:
        """Do nothing: the logs lie in the database."""

    async def release(self, partitions: set[Partition]) -> None:
        """Do nothing: what is stored is durable."""

    def first_offset(self, source: Partition) -> int:  # noqa: ARG002 - ids tell replays here
        """Return 0: the database knows a replay by its ids."""
        return 0

    async def store(self, chunk: Chunk, rows: Sequence[Row]) -> None:
        """Commit rows, waiting as long as it takes for a disk that is full or locked."""
        while rows:
            try:
                # Fewer chunks are in flight than the writer's queue takes: this does not block.
                await asyncio.wrap_future(self._writer.submit(rows, chunk.source))
            except Transient as error:
                self._tell_stall(error)
                await asyncio.sleep(error.retry_after_s)
            else:
                if self._stalled:
                    self._stalled = False
                    log.info("audit database takes documents again")
                return

    async def close(self) -> None:
        """Close the open segments and the database."""
        await asyncio.to_thread(self._writer.close)

    def _segments_closed(self, segments: list[Segment]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_segments, segments)

    def _tell_stall(self, error: Transient) -> None:
        if not self._stalled:
            self._stalled = True
            log.error("audit database takes no documents, waiting", error=str(error))
