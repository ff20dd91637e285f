"""How far a sink is, kept with the committed offset itself: Kafka stores it, nobody else.

``digest_end`` is written before a digest goes out: a worker killed in between sends exactly the
same digest, with the same id. ``quiet_from`` is the first alert that quiet hours hold back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.kafka import admin_options
from streams.topics import ALERTS

if TYPE_CHECKING:
    from config.settings import KafkaSettings

_TIMEOUT_MS = 30_000


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes into the metadata of a committed offset."""

    due_s: float = 0.0
    digest_end: int | None = None
    quiet_from: int | None = None

    def text(self) -> str:
        """Return it as Kafka stores it."""
        return msgspec.json.encode(self).decode()


def parse_progress(text: str | None) -> Progress:
    """Read metadata; what is none, as an older version wrote it, counts as empty.

    Examples
    --------
    >>> parse_progress('{"digest_end":7}').digest_end, parse_progress("").digest_end
    (7, None)
    """
    try:
        return msgspec.json.decode(text or "{}", type=Progress)
    except msgspec.DecodeError:
        return Progress()


def group_of(sink: str) -> str:
    """Return the consumer group of a sink."""
    return f"vedette-notify-{sink}"


def read_progress(kafka: KafkaSettings, group: str) -> Progress:
    """Read the metadata of a group's offset on the alerts; blocks."""
    entry = _committed(kafka, group)
    return Progress() if entry is None else parse_progress(entry.metadata)


def read_offset(kafka: KafkaSettings, group: str) -> int | None:
    """Read how far a group is on the alerts, None if it never was there; blocks."""
    entry = _committed(kafka, group)
    return None if entry is None else entry.offset


def _committed(kafka: KafkaSettings, group: str) -> Any:
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - slow to import

    admin: Any = KafkaAdminClient(
        **admin_options(kafka), bootstrap_timeout_ms=_TIMEOUT_MS, request_timeout_ms=_TIMEOUT_MS
    )
    try:
        offsets = admin.list_group_offsets([group]).get(group) or {}
        return next((entry for at, entry in offsets.items() if at.topic == ALERTS), None)
    finally:
        admin.close()
