"""Destroys the keys of days whose time is over, tenant by tenant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from streams.content.keys import ContentKeys
from streams.hourly import Hourly
from streams.identity import days_by_tenant

if TYPE_CHECKING:
    from datetime import date

    from config.content import ContentSettings
    from config.settings import Settings

log = structlog.get_logger(__name__)


class Retention:
    """Looks every hour.

    Parameters
    ----------
    settings
        How long content is kept, and where its keys lie.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = ContentKeys(settings.content_keys)
        self._hourly = Hourly(self._expire, name="shred content by its retention")

    def start(self) -> None:
        """Begin, if content is kept for a time only."""
        content = self._settings.content
        if content.retention_days or content.tenant_retention_days:
            self._hourly.start()

    async def stop(self) -> None:
        """End."""
        await self._hourly.stop()

    async def _expire(self) -> None:
        content = self._settings.content
        days = days_by_tenant(self._settings, content.tenant_retention_days)
        known = content.model_copy(update={"tenant_retention_days": days})
        count = await asyncio.to_thread(expire, self._keys, known, datetime.now(UTC).date())
        if count:
            log.info("content was shredded by its retention", keys=count)


def expire(keys: ContentKeys, settings: ContentSettings, today: date) -> int:
    """Destroy what is too old, each tenant by its own measure; return how many keys."""
    own = settings.tenant_retention_days
    count = sum(
        keys.expire(today - timedelta(days=kept), tenant=tenant) for tenant, kept in own.items()
    )
    if settings.retention_days is not None:
        count += keys.expire(today - timedelta(days=settings.retention_days), spare=own)
    return count
