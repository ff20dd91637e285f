"""Destroys the keys of days whose time is over, tenant by tenant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from streams.content.keys import ContentKeys

if TYPE_CHECKING:
    from datetime import date

    from config.content import ContentSettings
    from config.settings import Settings

log = structlog.get_logger(__name__)

EVERY_S = 3600.0


class Retention:
    """Looks every hour.

    Parameters
    ----------
    settings
        How long content is kept, and where its keys lie.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.content
        self._keys = ContentKeys(settings.content_keys)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if content is kept for a time only."""
        if self._settings.retention_days or self._settings.tenant_retention_days:
            self._task = asyncio.create_task(self._keep_expiring())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_expiring(self) -> None:
        while True:
            today = datetime.now(UTC).date()
            try:
                count = await asyncio.to_thread(expire, self._keys, self._settings, today)
            except OSError as error:
                _tell(error)
            else:
                if count:
                    log.info("content was shredded by its retention", keys=count)
            await asyncio.sleep(EVERY_S)


def _tell(error: OSError) -> None:
    log.error("keys could not be destroyed, trying again later", error=type(error).__name__)


def expire(keys: ContentKeys, settings: ContentSettings, today: date) -> int:
    """Destroy what is too old, each tenant by its own measure; return how many keys."""
    own = settings.tenant_retention_days
    count = sum(
        keys.expire(today - timedelta(days=kept), tenant=tenant) for tenant, kept in own.items()
    )
    if settings.retention_days is not None:
        count += keys.expire(today - timedelta(days=settings.retention_days), spare=own)
    return count
