"""How far consumer groups have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka import aiokafka_options

if TYPE_CHECKING:
    from config.settings import Settings


class Offsets:
    """Reads the ends of topics and what groups have committed."""

    def __init__(self, settings: Settings) -> None:
        options = aiokafka_options(settings.kafka)
        self._consumer = AIOKafkaConsumer(**options)
        self._admin = AIOKafkaAdminClient(**options)
        self._partitions = settings.partitions

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Return the end offset of each partition of a topic of source or frames."""
        partitions = [TopicPartition(topic, number) for number in range(self._partitions)]
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        return ends

    async def lag(self, group: str, ends: dict[TopicPartition, int]) -> int:
        """Return how many records before ``ends`` the group has not committed."""
        committed = await self._admin.list_consumer_group_offsets(group, partitions=list(ends))
        return sum(
            max(0, end - max(0, committed[partition].offset if partition in committed else 0))
            for partition, end in ends.items()
        )
