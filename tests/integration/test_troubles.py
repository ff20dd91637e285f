"""Each trouble of Vedette's own is provoked at a real broker, and respond tells of it."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.partitioner import DefaultPartitioner

from streams.respond.alerts import RUNBOOKS, Alert
from streams.topics import ALERTS, AUDIT, EVENTS, FINDINGS, INTERACTIONS
from tests.conftest import running_broker
from tests.integration.ingesting import read_until
from tests.integration.killing import ROOT, produce, role_process
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

LAG_RECORDS, LETTERS, BLIND_S, SKEW_S = 20, 5, 4, 120
#: A process whose clock is ten minutes slow tells of itself.
SLOW_CLOCK = """
import asyncio, time
now = time.time
time.time = lambda: now() - 600
from config.settings import load_settings
from streams.selfwatch.vitals import report
asyncio.run(report("detect", load_settings().kafka, every_s=0.5))
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Run a broker of its own: what is done to groups and records here would harm other tests."""
    with running_broker(tmp_path_factory.mktemp("troubled")) as address:
        yield address


def environment(servers, home):
    return {
        "VEDETTE_HOME": str(home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": servers,
        "VEDETTE_RESPOND__MAX_INCIDENTS": "16",
        "VEDETTE_WATCH__EVERY_S": "0.5",
        "VEDETTE_WATCH__LAG_RECORDS": str(LAG_RECORDS),
        "VEDETTE_WATCH__DEAD_LETTERS_PER_MINUTE": str(LETTERS),
        "VEDETTE_WATCH__BLIND_S": str(BLIND_S),
        "VEDETTE_WATCH__CLOCK_SKEW_S": str(SKEW_S),
        "VEDETTE_METRICS__ENABLED": "false",
    }


@pytest.fixture(scope="module")
def respond(servers, tmp_path_factory):
    with role_process("respond", environment(servers, tmp_path_factory.mktemp("home"))) as role:
        yield role


async def told(servers: str, condition: str, *, state: str = "opened", of: str = "") -> Alert:
    """Return the first alert of a condition, once it is told; it has a runbook."""

    def wanted(records):
        alerts = (msgspec.json.decode(record.value, type=Alert) for record in records)
        return [
            alert
            for alert in alerts
            if (alert.rule, alert.state) == (condition, state) and of in alert.subject.ids[0]
        ]

    alert, *_ = wanted(await read_until(servers, ALERTS, lambda found: bool(wanted(found))))
    assert alert.detector == "vedette.watch"
    assert alert.runbook == f"{RUNBOOKS}#{condition}"
    assert f"\n## {condition}\n" in (ROOT / RUNBOOKS).read_text("utf-8")
    assert alert.recommended_action
    return alert


async def stopped_at(servers: str, role: str, offset: int) -> TopicPartition:
    """Let a role read a topic that far and no further."""
    place = TopicPartition(AUDIT, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=f"vedette-{role}")
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.commit({place: offset})
    finally:
        await consumer.stop()
    return place


def findings(numbers, **changes):
    """Return findings that have nothing in common."""
    return [
        msgspec.json.encode(finding(id=f"f-{n}", model=f"m-{n}", trigger=f"t-{n}", **changes))
        for n in numbers
    ]


def key_of(place):
    """Return a key that leads to a partition."""
    every = list(range(4))
    keys = (b"%d" % number for number in count())
    return next(key for key in keys if DefaultPartitioner()(key, every, every) == place.partition)


async def test_a_role_that_is_behind_is_told_and_so_is_its_end(servers, respond):
    place = await stopped_at(servers, "index", 0)
    key = key_of(place)
    await produce(servers, AUDIT, [b"no frame"] * (2 * LAG_RECORDS), key=key)
    alert = await told(servers, "lag", of="index")
    assert "records wait for index" in alert.summary
    await stopped_at(servers, "index", 2 * LAG_RECORDS)
    assert (await told(servers, "lag", state="resolved", of="index")).incident == alert.incident


async def test_records_that_kafka_deletes_before_they_are_read_are_told(servers, respond):
    place = await stopped_at(servers, "index", 0)
    await produce(servers, AUDIT, [b"no frame"] * 10, key=key_of(place))
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_records({place: RecordsToDelete(before_offset=7)})
    await admin.close()
    alert = await told(servers, "lost", of="index")
    assert "7 records were deleted before index read them" in alert.summary
    assert alert.severity == "critical"


async def test_a_rate_of_dead_letters_is_told(servers, respond):
    await produce(servers, FINDINGS, [b"no finding"] * (LETTERS + 5))
    assert "dead letters within a minute" in (await told(servers, "deadletters")).summary


async def test_events_that_stop_and_events_that_are_swallowed_are_told(servers, respond):
    await produce(servers, INTERACTIONS, [b"no frame"] * 20, pause_s=0.1)
    await produce(servers, EVENTS, [b"{}"] * 60, pause_s=0.2)
    why = (await told(servers, "blind", of="ingest")).summary
    assert "nothing left ingest" in why or "no event for" in why
    await produce(servers, INTERACTIONS, [b"no frame"] * 60, pause_s=0.2)
    why = (await told(servers, "blind", of="detect")).summary
    assert "detect said nothing" in why


async def test_incidents_that_had_no_room_are_told(servers, respond):
    shedding = asyncio.create_task(produce(servers, FINDINGS, findings(range(400)), pause_s=0.15))
    assert "incidents closed early" in (await told(servers, "shed", of="respond")).summary
    shedding.cancel()
    await asyncio.gather(shedding, return_exceptions=True)


async def test_a_host_whose_clock_is_wrong_is_told(servers, respond, tmp_path):
    command = [sys.executable, "-c", SLOW_CLOCK]
    slow = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment(servers, tmp_path)
    )
    try:
        alert = await told(servers, "clock", of="detect")
    finally:
        slow.kill()
        await slow.wait()
    assert "600 s behind this host's" in alert.summary


async def test_findings_from_the_future_are_told(servers, respond):
    ahead = datetime.fromtimestamp(time.time(), UTC) + timedelta(hours=1)
    await produce(servers, FINDINGS, findings(["ahead"], time=ahead.isoformat()))
    assert "s in the future" in (await told(servers, "clock", of="events")).summary
