"""Looks at the broker: how far each role is, and how long each topic has become."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from streams.kafka import admin_options
from streams.selfwatch.judge import Look
from streams.topics import TOPICS

if TYPE_CHECKING:
    from config.settings import KafkaSettings

_TIMEOUT_MS = 10_000


class BrokerView:
    """One admin connection; every method blocks and belongs into a thread.

    Parameters
    ----------
    settings
        Where the broker is.
    roles
        Whose consumer groups to look at.
    """

    def __init__(self, settings: KafkaSettings, roles: tuple[str, ...]) -> None:
        self._settings = settings
        self._groups = {role: f"vedette-{role}" for role in roles}
        self._admin: Any = None

    def look(self) -> Look:
        """Look once."""
        from kafka import OffsetSpec, TopicPartition  # noqa: PLC0415 - slow to import

        admin = self._admin = self._admin or self._connect()
        owned = {spec.name for spec in TOPICS}
        partitions = [
            TopicPartition(topic["name"], part["partition_index"])
            for topic in admin.describe_topics()
            if topic["name"] in owned
            for part in topic["partitions"]
        ]
        ends = {
            partition: found.offset
            for partition, found in admin.list_partition_offsets(
                dict.fromkeys(partitions, OffsetSpec.LATEST)
            ).items()
        }
        begins = {
            partition: found.offset
            for partition, found in admin.list_partition_offsets(
                dict.fromkeys(partitions, OffsetSpec.EARLIEST)
            ).items()
        }
        by_role = {
            role: {
                partition: offset
                for partition, offset in self._committed(group).items()
                if partition in ends
            }
            for role, group in self._groups.items()
        }
        return summed(begins, ends, by_role)

    def _committed(self, group: str) -> dict[Any, int]:
        """Return the offsets of one group; none if it is of a role that never ran."""
        from kafka.errors import KafkaError  # noqa: PLC0415 - slow to import

        try:
            found = self._admin.list_group_offsets([group]).get(group) or {}
        except KafkaError:
            # A young broker knows no coordinator yet for a group that nobody has joined.
            return {}
        return {partition: entry.offset for partition, entry in found.items()}

    def close(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _connect(self) -> Any:
        from kafka.admin import KafkaAdminClient  # noqa: PLC0415

        return KafkaAdminClient(
            **admin_options(self._settings),
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
        )


def summed(
    begins: dict[Any, int], ends: dict[Any, int], by_role: dict[str, dict[Any, int]]
) -> Look:
    """Sum offsets by role and by topic."""
    lag: dict[str, int] = {}
    topic_lag: dict[str, int] = {}
    totals: dict[str, int] = {}
    lost: dict[str, int] = {}
    for role, offsets in by_role.items():
        for partition, offset in offsets.items():
            behind = max(0, ends[partition] - offset)
            lag[role] = lag.get(role, 0) + behind
            lost[role] = lost.get(role, 0) + max(0, begins[partition] - offset)
            topic_lag[partition.topic] = topic_lag.get(partition.topic, 0) + behind
    for partition, end in ends.items():
        totals[partition.topic] = totals.get(partition.topic, 0) + end
    committed = {role: sum(offsets.values()) for role, offsets in by_role.items() if offsets}
    return Look(time.time(), lag, committed, totals, topic_lag, lost)
