"""The thread that fetches.

Topics stay together, silent partitions are not waited for long, and what is fetched of a batch
topic stays as it is: aiokafka would make some thirty objects of every record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.consumer import fetcher as stock
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from streams.records import read_fetched
from streams.records.batches import is_readable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streams.records import Fetched

#: aiokafka has one fetch a broker under way, and leaves out of it the partitions whose records
#: nobody has taken yet. A fetch of silent partitions alone holds up all others for as long as
#: the broker may wait; Faust fixes that at 1.5 s.
FETCH_MAX_WAIT_MS = 50
#: By range, one worker has the same partition of all topics: without tables Faust deals partitions
#: out round robin, which takes findings to one respond and feedback to the other. The second is
#: for groups in which an older Vedette still runs.
ASSIGNORS = (RangePartitionAssignor, RoundRobinPartitionAssignor)


class FetchThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust is untyped here
    """Faust's consumer thread, but for the wait and the assignment."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001 - read by its start()
        consumer._partition_assignment_strategy = ASSIGNORS  # noqa: SLF001 - the same
        return consumer

    async def on_start(self) -> None:
        """Start the consumer, and leave the records of batch topics as they are fetched."""
        await super().on_start()
        keep_columns(self._consumer._fetcher, self.consumer.transport.batch_topics)  # noqa: SLF001


class KeptRecords(MemoryRecords):  # type: ignore[misc]  # aiokafka's compiled parts are untyped
    """Fetched records that can still be read in another way."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


# The name under which aiokafka makes them; for every other consumer they are what they were.
stock.MemoryRecords = KeptRecords


def keep_columns(fetcher: Any, topics: Collection[str]) -> None:
    """Let a fetcher return one `Fetched` for the records of a partition of some topics."""
    take_response = fetcher._proc_fetch_request  # noqa: SLF001

    async def take(assignment: Any, node_id: Any, request: Any) -> Any:
        has_news = await take_response(assignment, node_id, request)
        for tp, result in fetcher._records.items():  # noqa: SLF001
            if tp.topic in topics and type(result) is stock.FetchResult:
                _keep(tp, result._partition_records)  # noqa: SLF001
        return has_news

    fetcher._proc_fetch_request = take  # noqa: SLF001


def _keep(tp: Any, unread: Any) -> None:
    """Let one `Fetched` take the place of records that nobody has read yet."""
    records = unread._records if unread is not None else None  # noqa: SLF001
    if not isinstance(records, KeptRecords) or not is_readable(records.data):
        return
    if unread._isolation_level == stock.READ_COMMITTED:  # noqa: SLF001
        return
    unread._records = None  # noqa: SLF001
    unread._records_iterator = _read(tp, records.data, unread)  # noqa: SLF001


def _read(tp: Any, data: bytes, unread: Any) -> Iterator[Fetched]:
    fetched, unread.next_fetch_offset = read_fetched(
        tp.topic, tp.partition, data, unread.next_fetch_offset
    )
    if len(fetched):
        yield fetched
