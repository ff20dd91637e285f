"""A delivery commits an alert's offset only when the receiver has it or will never take it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Fatal
from config.respond import QuietHours, SinkSettings
from config.settings import KafkaSettings
from streams.notify import delivery
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.digest import MAX_HELD, digest_of
from streams.notify.fit import fitting
from streams.notify.progress import parse_progress
from streams.notify.webhook import MAX_BODY_BYTES, webhook_body
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.judge import Trouble
from streams.topics import ALERTS
from tests.unit.respond.fakes import FakeRecord
from tests.unit.respond.samples import alert

TP = TopicPartition(ALERTS, 0)
SINK = SinkSettings(name="delivery")


@dataclass
class Notifier:
    name: str = "delivery"
    outcomes: list = field(default_factory=list)
    got: list = field(default_factory=list)
    alerts: list = field(default_factory=list)
    closed: bool = False

    async def start(self): ...

    async def close(self):
        self.closed = True

    async def notify(self, alert):
        self.got.append(alert.id)
        self.alerts.append(alert)
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
        self.broker.committed, self.broker.metadata = offsets[TP]
        self.broker.commits.append(self.broker.committed)

    async def committed(self, partition):
        return self.broker.committed if self.broker.commits else None

    def seek(self, partition, offset):
        self.position = offset


@dataclass
class Broker:
    records: list = field(default_factory=list)
    committed: int = 0
    metadata: str = ""
    commits: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def put(self, item, sent_ms=0):
        record = FakeRecord(ALERTS, len(self.records), msgspec.json.encode(item))
        record.timestamp = sent_ms
        self.records.append(record)

    def raise_next(self):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


@pytest.fixture
def broker(monkeypatch):
    made = Broker()
    monkeypatch.setattr(delivery, "AIOKafkaConsumer", lambda *_, **__: Consumer(made))
    monkeypatch.setattr(delivery, "RECONNECT_S", 0)
    monkeypatch.setattr(delivery, "POLL_MS", 0)
    monkeypatch.setattr(delivery, "read_progress", lambda *_: parse_progress(made.metadata))
    for number in range(3):
        made.put(alert(id=f"finding-{number}"))
    return made


IDS = [alert(id=f"finding-{number}").id for number in range(3)]


def nobody(name, why): ...


async def run(notifier, broker, *, sink=None, until=lambda: False, told=nobody):
    task = asyncio.create_task(
        delivery.Delivery(notifier, sink or SINK, KafkaSettings(), (0.0, 0.0), told).run()
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


async def test_a_new_sink_is_not_told_what_happened_long_ago(broker):
    now_ms = int(time.time() * 1000)
    for record, age_s in zip(broker.records, (7200, 3500, 0), strict=True):
        record.timestamp = now_ms - age_s * 1000
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == IDS[1:]
    assert broker.committed == 3


async def test_an_old_sign_of_life_means_nothing(broker):
    broker.records.clear()
    now_ms = int(time.time() * 1000)
    beats = []
    for age_s in (600, 1):
        moment_s = time.time() - age_s
        trouble = Trouble("heartbeat", "respond", "alive")
        beats.append(watch_alert(trouble, "heartbeat", moment_s, moment_s))
        broker.put(beats[-1], now_ms - age_s * 1000)
    notifier = Notifier()
    await run(notifier, broker, sink=SinkSettings(name="delivery", heartbeat=True))
    assert notifier.got == [beats[1].id]


async def test_a_sink_that_was_away_for_long_is_told_everything(broker):
    broker.commits.append(0)
    for record in broker.records:
        record.timestamp = 1000
    notifier = Notifier()
    await run(notifier, broker)
    assert notifier.got == IDS


SLOW = SinkSettings(name="delivery", per_minute=6000, burst=1)


async def test_alerts_beyond_the_limit_become_one_digest_and_none_is_dropped(broker):
    for number in range(3, 40):
        broker.put(alert(id=f"finding-{number}"))
    notifier = Notifier()
    await run(notifier, broker, sink=SLOW)
    first, *digests = notifier.alerts
    assert first.id == IDS[0]
    told = [first.id, *(held.id for digest in digests for held in digest.held)]
    assert told == [alert(id=f"finding-{number}").id for number in range(40)]
    assert len(digests) <= 2
    assert broker.committed == 40


async def test_a_digest_that_was_announced_is_sent_again_as_it_was(broker):
    broker.committed, broker.metadata = 1, '{"digest_end":3}'
    broker.put(alert(id="later"))
    notifier = Notifier()
    await run(notifier, broker)
    repeated = [alert(id=f"finding-{number}") for number in (1, 2)]
    assert notifier.got[0] == digest_of(repeated).id
    assert notifier.got[1:] == [alert(id="later").id]


async def test_the_limit_holds_over_a_restart(broker):
    await run(Notifier(), broker, sink=SinkSettings(name="delivery", per_minute=60, burst=3))
    broker.put(alert(id="later"))
    notifier = Notifier()
    await run(
        notifier,
        broker,
        sink=SinkSettings(name="delivery", per_minute=60, burst=3),
    )
    assert notifier.got == []


async def test_a_sink_is_only_told_of_what_it_takes(broker):
    broker.put(alert(id="urgent", severity="critical"))
    notifier = Notifier()
    await run(notifier, broker, sink=SinkSettings(name="delivery", min_severity="critical"))
    assert notifier.got == [alert(id="urgent").id]
    assert broker.committed == 4


def quiet(monkeypatch, hour):
    now = datetime(2026, 11, 22, hour, tzinfo=UTC)
    monkeypatch.setattr(delivery, "_now", lambda: now)
    return SinkSettings(name="delivery", quiet_hours=QuietHours(begins="22:00", ends="07:00"))


async def test_quiet_hours_hold_back_all_but_the_urgent_and_tell_it_after(broker, monkeypatch):
    broker.put(alert(id="urgent", severity="critical"))
    notifier = Notifier()
    await run(notifier, broker, sink=quiet(monkeypatch, 23))
    assert notifier.got == [alert(id="urgent").id]
    assert parse_progress(broker.metadata).quiet_from == 0
    # A new process in the morning: what was held is read again from the topic.
    morning = Notifier()
    broker.put(alert(id="later"))
    await run(morning, broker, sink=quiet(monkeypatch, 8))
    digest, later = morning.alerts
    assert [held.id for held in digest.held] == IDS
    assert later.id == alert(id="later").id
    assert parse_progress(broker.metadata).quiet_from is None


async def test_what_was_held_is_told_even_if_the_quiet_hours_are_taken_out(broker, monkeypatch):
    await run(Notifier(), broker, sink=quiet(monkeypatch, 23))
    broker.put(alert(id="later"))
    notifier = Notifier()
    await run(notifier, broker)
    assert [held.id for held in notifier.alerts[0].held] == IDS


async def test_somebody_is_told_when_a_sink_is_disabled(broker):
    told = []
    await run(Notifier(outcomes=[Gone()]), broker, told=lambda *item: told.append(item))
    assert told == [("delivery", "the receiver answered 410 Gone")]


@given(st.integers(1, MAX_HELD))
def test_a_full_digest_fits_the_smallest_body_limit(count):
    alerts = [alert(id=f"{number}", model="m" * 300) for number in range(count)]
    body = fitting(digest_of(alerts), webhook_body, MAX_BODY_BYTES - 1, "delivery")
    assert all(item.id in body.decode() for item in alerts)
