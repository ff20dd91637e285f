"""Settings of content that tenants allow to be kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from config.section import Section


class ContentSettings(Section):
    """Whose prompts and completions are kept, masked and encrypted, and for how long."""

    tenants: tuple[str, ...] = Field(default=(), description="tenants that allow it; others: never")
    max_chars: int = Field(default=16_384, ge=1, le=262_144, description="kept of one text")
    keys_dir: Path | None = Field(
        default=None, description="one directory for all hosts that detect; not in the backup"
    )
    retention_days: int | None = Field(
        default=None, ge=1, description="then the keys of a day are destroyed"
    )
    tenant_retention_days: dict[str, int] = Field(
        default={}, description="the same for single tenants, as JSON"
    )
