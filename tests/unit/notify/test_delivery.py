"""A delivery commits an alert's offset only when the receiver has it or will never take it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from config.errors import Fatal
from config.settings import KafkaSettings, RespondSettings
from streams.notify import delivery
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.topics import ALERTS
from tests.unit.respond.fakes import FakeRecord
from tests.unit.respond.samples import alert

TP = TopicPartition(ALERTS, 0)


@dataclass
class Notifier:
    name: str = "delivery"
    outcomes: list = field(default_factory=list)
    got: list = field(default_factory=list)
    closed: bool = False

    async def start(self): ...

    async def close(self):
        self.closed = True

    async def notify(self, alert):
        self.got.append(alert.id)
        return self.outcomes.pop(0) if self.outcomes else Delivered()


@dataclass
class Consumer:
    """Brings the records after the committed offset, then waits for ever."""

    broker: Broker
    position: int = 0

    async def start(self):
        self.broker.raise_next()
        self.position = self.broker.committed

    async def stop(self): ...

    async def getmany(self, timeout_ms, max_records):
        records = self.broker.records[self.position : self.position + max_records]
        self.position += len(records)
        if records:
            return {TP: records}
        await asyncio.sleep(0.01)
        return {}

    async def commit(self, offsets):
        self.broker.raise_next()
        self.broker.committed = offsets[TP]


@dataclass
class Broker:
    records: list = field(default_factory=list)
    committed: int = 0
    errors: list = field(default_factory=list)

    def raise_next(self):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


@pytest.fixture
def broker(monkeypatch):
    made = Broker()
    monkeypatch.setattr(delivery, "AIOKafkaConsumer", lambda *_, **__: Consumer(made))
    monkeypatch.setattr(delivery, "RECONNECT_S", 0)
    for number in range(3):
        body = msgspec.json.encode(alert(id=f"finding-{number}"))
        made.records.append(FakeRecord(ALERTS, number, body))
    return made


IDS = [alert(id=f"finding-{number}").id for number in range(3)]


async def run(notifier, broker, *, until=lambda: False):
    task = asyncio.create_task(
        delivery.Delivery(
            notifier, KafkaSettings(), RespondSettings(retry_schedule_s=(0.0, 0.0))
        ).run()
    )
    for _ in range(200):
        if task.done() or until() or broker.committed == len(broker.records):
            break
        await asyncio.sleep(0.001)
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return task


async def test_alerts_arrive_in_order_and_are_committed(broker):
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == IDS
    assert broker.committed == 3
    assert notifier.closed


async def test_a_failure_is_repeated_before_the_next_alert(broker):
    notifier = Notifier(outcomes=[Delivered(), RetryLater("connection"), Delivered()])
    await run(notifier, broker)
    assert notifier.got == [IDS[0], IDS[1], IDS[1], IDS[2]]


async def test_a_refused_alert_does_not_hold_up_the_others(broker):
    notifier = Notifier(outcomes=[Permanent("refused_payload")])
    await run(notifier, broker)
    assert (notifier.got, broker.committed) == (IDS, 3)


@pytest.mark.parametrize("outcomes", [[Gone()], [RetryLater("timeout")] * 3])
async def test_a_disabled_webhook_keeps_its_place_for_the_next_start(broker, outcomes):
    first = Notifier(outcomes=[Delivered(), *outcomes])
    task = await run(first, broker)
    assert task.done()
    assert task.exception() is None
    assert broker.committed == 1
    repaired = Notifier()
    await run(repaired, broker)
    assert repaired.got == IDS[1:]


async def test_an_alert_whose_commit_failed_comes_again_with_the_same_id(broker):
    broker.errors = [None, CommitFailedError()]
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == [IDS[0], *IDS]
    assert broker.committed == 3


async def test_an_unreachable_broker_is_waited_for(broker):
    broker.errors = [KafkaConnectionError()]
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == IDS


async def test_a_broker_that_refuses_for_good_is_fatal(broker):
    broker.errors = [TopicAuthorizationFailedError()]
    task = await run(Notifier(), broker)
    with pytest.raises(Fatal, match="TopicAuthorizationFailed"):
        task.result()


async def test_what_is_no_alert_is_passed_over(broker):
    broker.records.insert(0, FakeRecord(ALERTS, 0, b"{}"))
    for offset, record in enumerate(broker.records):
        record.offset = offset
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == IDS
