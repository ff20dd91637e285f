"""Ask a broker whether it is ready."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import KafkaSettings

_TIMEOUT_MS = 5000


def answers(settings: KafkaSettings) -> bool:
    """Tell whether an admin metadata call succeeds and names at least one broker."""
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - slow to import
    from kafka.errors import KafkaError  # noqa: PLC0415

    from streams.kafka import admin_options  # noqa: PLC0415

    quiet = logging.getLogger("kafka")
    before = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        client = KafkaAdminClient(
            **admin_options(settings),
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
        )
        try:
            return bool(client.describe_cluster()["brokers"])
        finally:
            client.close()
    except (KafkaError, OSError):
        return False
    finally:
        quiet.setLevel(before)
