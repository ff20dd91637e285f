"""The README's producer, run as it stands, posts what ingestion reads."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import IngestSettings
from streams.decode import RecordDecoder
from streams.identity import Pseudonyms
from tests.unit.test_docs import snippet

pytestmark = pytest.mark.kafka

TOPIC = "vedette.events.v1"
SERVER = "127.0.0.1:29092"


async def test_the_producer_of_the_readme_is_understood(broker) -> None:
    code = snippet("KafkaProducer")
    assert SERVER in code
    names: dict[str, object] = {}
    exec(code.replace(SERVER, broker), names)  # noqa: S102
    names["producer"].close()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for fetched in (await consumer.getmany(timeout_ms=500)).values():
                records += [record for record in fetched if record.key == b"customer-42"]
    finally:
        await consumer.stop()
    (record,) = records
    decoded = RecordDecoder(IngestSettings(), Pseudonyms(bytes(32))).decode(record)
    assert decoded is not None
    (row,) = decoded.rows
    assert (row.model, row.operation, row.status, row.label) == ("iris", "predict", 200, 0)
    assert row.input_shape == [4]
