"""Where the index role puts documents."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from config.errors import Transient
from streams.hourly import Hourly
from streams.identity import days_by_tenant
from streams.store.erasure import Erasure
from streams.store.logs import Logs, SegmentRules
from streams.store.sqlite import AuditWriter
from streams.store.windows import window_rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from config.settings import Settings
    from streams.ledger.log import Closing
    from streams.ledger.note import NoteSigner
    from streams.roles.base import Chunk, Partition
    from streams.store.row import Row

    #: The result is done when the closings were published, or could not be.
    OnClosed = Callable[[list[Closing]], Awaitable[None]]

log = structlog.get_logger(__name__)


_DAY_S = 86_400


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
    on_closed
        Called on the event loop with segments that were closed.
    """

    def __init__(self, settings: Settings, signer: NoteSigner, on_closed: OnClosed) -> None:
        index = settings.index
        self._on_closed = on_closed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = AuditWriter(
            settings.audit_database,
            batch_documents=index.batch_documents,
            logs=Logs(
                index.log_name,
                signer,
                SegmentRules(index.checkpoint_records, index.checkpoint_interval_s),
                windows=window_rules(index),
                namespace=settings.elastic.namespace,
            ),
            on_closed=self._hand_over,
        )
        self._settings = settings
        self._erasing = Hourly(self._erase, name="erase content by its retention")
        self._stalled = False

    async def open(self) -> None:
        """Take the lock of the database, bring it up to date, and erase what is too old."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._writer.open)
        index = self._settings.index
        if index.retention_days or index.tenant_retention_days:
            self._erasing.start()

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
        await self._erasing.stop()
        await asyncio.to_thread(self._writer.close)

    async def _erase(self) -> None:
        """Erase what has become too old."""
        index = self._settings.index
        tenants = days_by_tenant(self._settings, index.tenant_retention_days)
        for erasure in retention_erasures(index.retention_days, tenants, now_s=time.time()):
            count = await asyncio.wrap_future(self._writer.erase(erasure))
            if count:
                log.info("content was erased by its retention", documents=count)

    def _hand_over(self, closings: list[Closing]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_closed, closings)

    def _tell_stall(self, error: Transient) -> None:
        if not self._stalled:
            self._stalled = True
            log.error("audit database takes no documents, waiting", error=str(error))


def retention_erasures(
    days: int | None, tenants: Mapping[str, int], *, now_s: float
) -> list[Erasure]:
    """Return what has to be erased now: what is too old, each tenant by its own measure."""

    def before_us(kept_days: int) -> int:
        return int((now_s - kept_days * _DAY_S) * 1_000_000)

    found = [
        Erasure("retention", tenant=tenant, before_us=before_us(kept))
        for tenant, kept in sorted(tenants.items())
    ]
    if days is not None:
        found.append(
            Erasure("retention", before_us=before_us(days), except_tenants=tuple(sorted(tenants)))
        )
    return found
