"""The follower keeps the table current, and knows when it no longer hears the broker."""

from __future__ import annotations

import asyncio

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from config.settings import KafkaSettings
from streams.topics import VERDICTS
from streams.verdicts import follow
from streams.verdicts.follow import Follower
from streams.verdicts.table import VerdictTable
from tests.unit.respond.fakes import FakeRecord
from tests.unit.verdicts.test_table import verdict

TP = TopicPartition(VERDICTS, 0)


class Broker:
    def __init__(self, *clients):
        self.records = []
        self.down = False
        self.started = 0
        for client in clients:
            self.put(client)

    def put(self, client, value=None):
        body = msgspec.json.encode(verdict(client)) if value is None else value
        self.records.append(FakeRecord(VERDICTS, len(self.records), body, key=client.encode()))


class Consumer:
    def __init__(self, broker):
        self.broker, self.at = broker, 0

    async def start(self):
        if self.broker.down:
            raise KafkaConnectionError
        self.broker.started += 1

    async def stop(self): ...

    def assignment(self):
        return {TP}

    async def end_offsets(self, partitions):
        await asyncio.sleep(0.001)
        if self.broker.down:
            raise KafkaConnectionError
        return {TP: len(self.broker.records)}

    async def seek_to_beginning(self, *partitions):
        self.at = 0

    async def position(self, partition):
        return self.at

    async def getmany(self, timeout_ms, max_records):
        await asyncio.sleep(0.001)
        if self.broker.down:
            return {}
        records, self.at = self.broker.records[self.at :], len(self.broker.records)
        return {TP: records} if records else {}


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError


async def test_it_reads_to_the_end_then_on_and_through_an_outage(monkeypatch):
    broker = Broker("a", "b")
    monkeypatch.setattr(follow, "AIOKafkaConsumer", lambda *_, **__: Consumer(broker))
    monkeypatch.setattr(follow, "RECONNECT_S", 0.01)
    table, changed = VerdictTable(), []
    follower = Follower(table, KafkaSettings(), changed.append)
    assert follower.age_s() == float("inf")
    task = asyncio.create_task(follower.run())
    try:
        await asyncio.wait_for(follower.warm.wait(), 5)
        assert len(table) == 2
        assert changed == []
        broker.put("c")
        broker.put("d", b"no verdict")
        await until(lambda: len(table) == 3)
        assert changed == ["c"]
        await until(lambda: follower.age_s() < 0.05)
        broker.down = True
        await asyncio.sleep(0.1)
        assert follower.age_s() >= 0.08
        broker.down = False
        broker.put("e")
        await until(lambda: len(table) == 4)
        await until(lambda: follower.age_s() < 0.05)
        assert broker.started == 2
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
