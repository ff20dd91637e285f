"""The floor: aiokafka and msgspec decode the same events into plain structs, nothing else."""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.pipeline.child import Message, tell
from config.settings import load_settings
from streams.kafka import aiokafka_options
from streams.topics import EVENTS

_MAX_RECORDS = 10_000


class InputTensor(msgspec.Struct):
    """A tensor of integers."""

    name: str
    shape: list[int]
    datatype: str
    data: list[int]


class OutputTensor(msgspec.Struct):
    """A tensor of real numbers."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(msgspec.Struct):
    """An inference request."""

    inputs: list[InputTensor]


class Response(msgspec.Struct):
    """An inference response."""

    model_name: str
    outputs: list[OutputTensor]


class Complete(msgspec.Struct):
    """A request with its response."""

    request: Request
    response: Response


async def consume(events: int) -> float:
    """Return CPU seconds per event, from the moment that the first batch is there."""
    settings = load_settings()
    consumer = AIOKafkaConsumer(**aiokafka_options(settings.kafka))
    await consumer.start()
    try:
        partitions = [TopicPartition(EVENTS, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        decode = msgspec.json.Decoder(Complete).decode
        seen, began_s = 0, None
        while seen < events:
            batches = await consumer.getmany(timeout_ms=1000, max_records=_MAX_RECORDS)
            if began_s is None and batches:
                began_s = time.process_time()
            for records in batches.values():
                for record in records:
                    decode(record.value)
                seen += len(records)
        return (time.process_time() - (began_s or 0.0)) / seen
    finally:
        await consumer.stop()


if __name__ == "__main__":
    tell(Message(1.0, {"bare_us": asyncio.run(consume(int(sys.argv[1]))) * 1e6}))
