"""Alerts reach a webhook through the real broker, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import defaultdict

import msgspec
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from standardwebhooks.webhooks import Webhook

from config.respond import WebhookSettings
from config.settings import KafkaSettings
from detectors.finding import Subject
from streams.notify.trial import queue
from streams.respond.alerts import alert_id
from streams.respond.verdict_log import load_verdicts
from streams.respond.verdicts import VerdictBook
from streams.topics import FINDINGS, VERDICTS, dlq
from tests.integration.hook import listening
from tests.integration.killing import produce, role_process
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Verifies and counts what arrives; fails half of the requests."""

    def __init__(self) -> None:
        #: Every body that came under an id.
        self.ids: defaultdict[str, list[bytes]] = defaultdict(list)
        #: The same of the second sink.
        self.events: defaultdict[str, list[bytes]] = defaultdict(list)
        self.dice = random.Random(5)
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        return self.take(self.ids, request.headers["webhook-id"], body)

    async def handle_event(self, request: web.Request) -> web.Response:
        return self.take(self.events, request.headers["ce-id"], await request.read())

    def take(self, kept: dict[str, list[bytes]], identity: str, body: bytes) -> web.Response:
        if self.dice.random() < 0.5:
            return web.Response(status=503)
        kept[identity].append(body)
        return web.Response(status=204)


@contextlib.asynccontextmanager
async def receiving():
    receiver = Receiver()
    handlers = {"/hook": receiver.handle, "/events": receiver.handle_event}
    async with listening(handlers) as receiver.port:
        yield receiver


def environment(broker, tmp_path, port):
    hook = {
        "name": f"h-{uuid.uuid4().hex[:12]}",
        "url": f"http://127.0.0.1:{port}/hook",
        "secret": SECRET,
        "allow_private": True,
        "per_minute": 6000,
    }
    events = {
        "type": "cloudevents",
        "name": f"{hook['name']}-events",
        "url": f"http://127.0.0.1:{port}/events",
        "allow_private": True,
        "per_minute": 6000,
    }
    return {
        "VEDETTE_HOME": str(tmp_path),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
        "VEDETTE_RESPOND__WEBHOOKS": msgspec.json.encode([hook]).decode(),
        "VEDETTE_RESPOND__SINKS": msgspec.json.encode([events]).decode(),
        "VEDETTE_RESPOND__RETRY_SCHEDULE_S": msgspec.json.encode([0.05] * 20).decode(),
        "VEDETTE_RESPOND__VERDICT_DELAY_S": "0",
        "VEDETTE_METRICS__ENABLED": "false",
    }


def findings(run, count):
    """Yield findings that are an incident each: of another model, by one of five clients."""
    for number in range(count):
        subject = Subject(type="client", ids=(f"u1_{run}_{number % 5}",))
        model = f"m-{run}-{number}"
        yield finding(id=f"{run}-{number}", subject=subject, model=model)


async def test_kill_9_loses_no_alert_and_repeats_keep_their_id(broker, tmp_path):
    run = uuid.uuid4().hex
    made = list(findings(run, 120))
    expected = {alert_id(item.id) for item in made}
    async with receiving() as receiver:
        sending = asyncio.create_task(
            produce(broker, FINDINGS, map(msgspec.json.encode, made), pause_s=0.18)
        )
        with role_process("respond", environment(broker, tmp_path, receiver.port)) as role:
            await role.kill_again_and_again(times=2, seed=1)
            for kept in (receiver.ids, receiver.events):
                await role.until(lambda kept=kept: expected <= kept.keys())
        await sending
        for kept in (receiver.ids, receiver.events):
            # How much is repeated depends on what a kill found uncommitted; what it says does not.
            mine = {key: bodies for key, bodies in kept.items() if key in expected}
            assert mine.keys() == expected
            assert all(len(set(bodies)) == 1 for bodies in mine.values())
            assert list(mine) == [alert_id(item.id) for item in made], "out of order"

    book = VerdictBook()
    await load_verdicts(book, KafkaSettings(bootstrap_servers=broker))
    held = {client for client in book._held if run in client}
    assert held == {f"u1_{run}_{number}" for number in range(5)}


async def test_a_bad_finding_is_dead_lettered_and_the_next_is_delivered(broker, tmp_path):
    run = uuid.uuid4().hex
    (good,) = findings(run, 1)
    bad = f"not json {run}".encode()
    async with receiving() as receiver:
        await produce(broker, FINDINGS, [bad, msgspec.json.encode(good)])
        with role_process("respond", environment(broker, tmp_path, receiver.port)) as role:
            await role.until(lambda: alert_id(good.id) in receiver.ids)
    assert bad in await everything(broker, dlq(FINDINGS))


async def test_a_queued_test_goes_the_way_of_alerts_to_one_sink(broker, tmp_path):
    async with receiving() as receiver:
        env = environment(broker, tmp_path, receiver.port)
        (hook,) = msgspec.json.decode(env["VEDETTE_RESPOND__WEBHOOKS"])
        sink = WebhookSettings(**hook)
        (warm,) = findings(uuid.uuid4().hex, 1)
        with role_process("respond", env) as role:
            # A group that never committed has no offset to tell.
            await produce(broker, FINDINGS, [msgspec.json.encode(warm)])
            await role.until(lambda: alert_id(warm.id) in receiver.events)
            assert await queue(sink, KafkaSettings(bootstrap_servers=broker), 30)
        told = [msgspec.json.decode(body) for bodies in receiver.ids.values() for body in bodies]
        assert [item["type"] for item in told].count("vedette.alert.test") == 1
        events = [
            msgspec.json.decode(body) for bodies in receiver.events.values() for body in bodies
        ]
        assert "test" not in {item["state"] for item in events}
    assert not await queue(sink, KafkaSettings(bootstrap_servers=broker), 1.0)


def everything_of(kept):
    return [msgspec.json.decode(body) for bodies in kept.values() for body in bodies]


async def test_verdicts_of_the_topic_are_taken_over(broker, tmp_path):
    run = uuid.uuid4().hex
    (strong,) = findings(run, 1)
    strong = msgspec.structs.replace(strong, severity="critical", log_e=40.0)
    weak = msgspec.structs.replace(strong, id=f"{run}-weak", severity="low", model=f"{run}-other")
    async with receiving() as receiver:
        env = environment(broker, tmp_path, receiver.port)
        for item in (strong, weak):
            await produce(broker, FINDINGS, [msgspec.json.encode(item)])
            with role_process("respond", env) as role:
                wanted = alert_id(item.id)
                await role.until(lambda w=wanted: w in receiver.ids)
    values = [
        value for value in await everything(broker, VERDICTS) if value and run.encode() in value
    ]
    # The weak finding changes nothing, though another process met it; a kill may repeat.
    assert {msgspec.json.decode(value)["action"] for value in values} == {"block"}


async def everything(broker, topic):
    """Return all values of a topic with one partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        values = []
        while await consumer.position(partition) < end:
            batches = await consumer.getmany(timeout_ms=500)
            values += [record.value for records in batches.values() for record in records]
        return values
    finally:
        await consumer.stop()
