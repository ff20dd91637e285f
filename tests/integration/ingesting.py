"""The ingest role in a process of its own, and a reader of what it writes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import TopicPartition

from config.errors import PoisonRecord
from streams.frames import decode_frame
from streams.topics import dlq

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    import pyarrow as pa

ROOT = Path(__file__).parents[2]
COMMAND = (
    "import sys; from config.settings import load_settings; from streams.roles.ingest import make; "
    "from streams.runtime import run_role; s = load_settings(); sys.exit(run_role(make(s), s))"
)
PARTITIONS = 2
#: Of tests that take many minutes: nobody waits for them at every change.
LONG = (
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes minutes: set LONG_TESTS=1"),
)
WITHIN_S = 60.0


async def create_topics(broker: str, *names: str) -> None:
    """Create source topics, each with its dead letters."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    limits = {"max.message.bytes": str(8 << 20), "retention.ms": "-1"}
    try:
        for name in names:
            for topic, partitions in ((name, PARTITIONS), (dlq(name), 1)):
                with contextlib.suppress(TopicAlreadyExistsError):
                    made = NewTopic(topic, partitions, 1, topic_configs=limits)
                    await admin.create_topics([made])
    finally:
        await admin.close()


def settings_of(broker: str, home: Path) -> dict[str, str]:
    """Return where a role lives, and that its partitions are given away soon after a kill."""
    return {
        "VEDETTE_HOME": str(home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
    }


class Worker:
    """The ingest role in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND], cwd=ROOT, env={**os.environ, **self._environment}
        )

    def end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)


async def read_until(broker: str, name: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """Read a topic from its beginning until there is enough of it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    records: list[Any] = []
    try:
        numbers = await consumer._client.force_metadata_update() and consumer.partitions_for_topic(
            name
        )
        consumer.assign([TopicPartition(name, number) for number in numbers or {0}])
        deadline_s = time.monotonic() + WITHIN_S
        while not enough(records) and time.monotonic() < deadline_s:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
    finally:
        await consumer.stop()
    return records


def frame_of(value: bytes) -> pa.RecordBatch | None:
    """Return a frame, None for what another test left that is none."""
    try:
        return decode_frame(value)
    except PoisonRecord:
        return None


class Reader:
    """Gathers the interactions of one topic, dropping positions that it has passed."""

    def __init__(self, topic: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._topic = topic
        self._frames = 0
        self._passed: dict[tuple[int, int], tuple[int, int]] = {}

    def has(self, count: int, records: list[Any]) -> bool:
        """Take the frames that are new in ``records``, and say whether there are enough rows."""
        for frame in records[self._frames :]:
            batch = frame_of(frame.value)
            if batch is not None and batch["source"][0].as_py() == self._topic:
                for row in batch.to_pylist():
                    self._take(frame.partition, row)
        self._frames = len(records)
        return len(self.rows) >= count

    def _take(self, partition: int, row: dict[str, Any]) -> None:
        stream = (partition, row["source_partition"])
        position = (row["source_offset"], row["source_index"])
        if position > self._passed.get(stream, (-1, -1)):
            self._passed[stream] = position
            self.rows.append(row)
