"""Every topic Vedette owns, in one table.

Names follow ``<area>.<entity>.v<major>``; dead letters of a topic lie in ``<topic>.dlq``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

EVENTS = "vedette.events.v1"
REQUESTS = "vedette.requests.v1"
RESPONSES = "vedette.responses.v1"
#: Halves of calls whose other half lies in another partition or topic, on their way to it.
HALVES = "vedette.halves.v1"
INTERACTIONS = "vedette.interactions.v1"
FINDINGS = "vedette.findings.v1"
AUDIT = "vedette.audit.v1"
ALERTS = "vedette.alerts.v1"
VERDICTS = "vedette.verdicts.v1"
#: Who read or erased kept content.
ACCESS = "vedette.access.v1"
CHECKPOINTS = "vedette.checkpoints.v1"
#: The hashes of records, 256 to a tile: they name the one that a checkpoint does not fit.
TILES = "vedette.tiles.v1"
FEEDBACK = "vedette.feedback.v1"
#: What each process tells of itself every few seconds.
VITALS = "vedette.vitals.v1"

DLQ_SUFFIX = ".dlq"
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created."""

    name: str
    retention_ms: int
    cleanup: Literal["delete", "compact"] = "delete"
    partitions: int | None = None
    max_message_bytes: int = 8 << 20
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, str]:
        """Topic-level settings as the broker names them."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            **self.extra,
        }


def dlq(topic: str) -> str:
    """Return the dead-letter topic of ``topic``."""
    return topic + DLQ_SUFFIX


_WITH_DLQ = (
    TopicSpec(EVENTS, 3 * DAY_MS),
    TopicSpec(REQUESTS, DAY_MS),
    TopicSpec(RESPONSES, DAY_MS),
    TopicSpec(HALVES, DAY_MS),
    TopicSpec(INTERACTIONS, 3 * DAY_MS),
    TopicSpec(FINDINGS, 14 * DAY_MS, partitions=1),
    TopicSpec(AUDIT, 14 * DAY_MS),
    TopicSpec(ALERTS, 30 * DAY_MS, partitions=1),
    TopicSpec(ACCESS, 365 * DAY_MS, partitions=1),
    TopicSpec(FEEDBACK, 365 * DAY_MS, partitions=1),
)

TOPICS: tuple[TopicSpec, ...] = (
    *_WITH_DLQ,
    *(TopicSpec(dlq(spec.name), 14 * DAY_MS, partitions=1) for spec in _WITH_DLQ),
    TopicSpec(VERDICTS, -1, cleanup="compact", partitions=1),
    TopicSpec(CHECKPOINTS, -1, partitions=1),
    TopicSpec(TILES, 30 * DAY_MS, partitions=1),
    TopicSpec(VITALS, DAY_MS, partitions=1),
)
