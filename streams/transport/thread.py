"""The thread that fetches, with a short wait for partitions that are silent."""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

#: aiokafka has one fetch a broker under way, and leaves out of it the partitions whose records
#: nobody has taken yet. A fetch of silent partitions alone holds up all others for as long as
#: the broker may wait; Faust fixes that at 1.5 s.
FETCH_MAX_WAIT_MS = 50


class FetchThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust is untyped here
    """Faust's consumer thread, but for the wait."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001 - read by its start()
        return consumer
