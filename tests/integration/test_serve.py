"""Requests on a real broker are answered by a signed model, none lost."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from models.nets.digits import digits_architecture, digits_data
from models.nets.sequential import build
from models.registry import Registry
from streams.topics import REQUESTS, RESPONSES
from tests.integration.killing import role_process

pytestmark = pytest.mark.kafka

REQUEST_COUNT = 200
LOADED_COUNT = 3000


def environment(broker, home):
    return {
        "VEDETTE_HOME": str(home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
    }


async def ask(broker, run, count=REQUEST_COUNT, pause_s=0.0):
    pixels, _, _ = digits_data()
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    for number in range(count):
        data = pixels[number % len(pixels)].tolist()
        tensor = {"name": "x", "shape": [1, 64], "datatype": "UINT8", "data": data}
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", b"io.vedette.inference.request.v1"),
            ("ce_source", run.encode()),
            ("ce_id", str(number).encode()),
        ]
        body = json.dumps({"inputs": [tensor]}).encode()
        await producer.send(REQUESTS, body, key=b"c%d" % (number % 7), headers=headers)
        await asyncio.sleep(pause_s)
    await producer.stop()


async def answers(broker, run):
    """Return record and headers by id of all answers to ``run``."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(RESPONSES, number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        seen = {}
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = dict(record.headers)
                    if headers["ce_source"] == run.encode():
                        seen[headers["ce_id"]] = (record, headers)
        return seen
    finally:
        await consumer.stop()


@pytest.fixture
def home(tmp_path):
    """A home whose registry holds one model."""
    architecture = digits_architecture()
    registry = Registry(tmp_path / "models", tmp_path / "keys")
    registry.register(architecture, build(architecture.layers).state_dict())
    return tmp_path


async def test_a_server_killed_under_load_answers_every_request(broker, home):
    run = uuid.uuid4().hex
    with role_process("serve", environment(broker, home)) as server:
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            group.create_task(ask(broker, run, LOADED_COUNT, pause_s=0.005))
            group.create_task(server.kill_again_and_again(times=2, seed=3))
        async with asyncio.timeout(90):
            while len(found := await answers(broker, run)) < LOADED_COUNT:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    assert set(found) == {str(number).encode() for number in range(LOADED_COUNT)}
    assert {headers["ce_status"] for _, headers in found.values()} == {b"200"}


async def test_every_request_gets_its_answer(broker, home):
    run = uuid.uuid4().hex
    await ask(broker, run)
    with role_process("serve", environment(broker, home)):
        async with asyncio.timeout(60):
            while len(found := await answers(broker, run)) < REQUEST_COUNT:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    assert {headers["ce_status"] for _, headers in found.values()} == {b"200"}
    record, _ = found[b"0"]
    assert record.key == b"c0"
    body = json.loads(record.value)
    assert body["request"]["inputs"][0]["shape"] == [1, 64]
    assert body["response"]["outputs"][0]["shape"] == [1, 10]
