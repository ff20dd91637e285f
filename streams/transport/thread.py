"""The thread that fetches: topics stay together, and silent partitions are not waited for long."""

from __future__ import annotations

from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

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
