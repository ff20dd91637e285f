"""A storm of findings through the real broker: the real incidents in it are told in time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid

import msgspec
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from benchmarks.respond.storm import REAL
from detectors.finding import Subject
from streams.topics import FINDINGS
from tests.integration.hook import listening
from tests.integration.killing import role_process
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: Two seconds of a million a minute.
FINDINGS_SENT = 30_000
CLIENTS = 6000
PER_MINUTE, BURST = 30, 8
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Notes when each model's alert came, alone or in a digest, and when any request came."""

    def __init__(self):
        self.requests_s = []
        self.told_s = {}
        self.port = 0

    async def handle(self, request):
        data = msgspec.json.decode(await request.read())["data"]
        now_s = time.monotonic()
        self.requests_s.append(now_s)
        for title in (data["title"], *(held["title"] for held in data.get("held", []))):
            self.told_s.setdefault(title.rpartition(" on ")[2], now_s)
        return web.Response(status=204)


@contextlib.asynccontextmanager
async def receiving():
    receiver = Receiver()
    async with listening({"/hook": receiver.handle}) as receiver.port:
        yield receiver


def flood(run, rng):
    """Return encoded findings, and the positions of the real ones by their model."""
    hidden = dict.fromkeys(sorted(rng.sample(range(2000, FINDINGS_SENT), REAL)))
    values = []
    for number in range(FINDINGS_SENT):
        if number in hidden:
            hidden[number] = model = f"real-{run}-{number}"
            client, kind = f"thief-{number}", "extraction"
        else:
            client, kind, model = f"u1_{rng.randrange(CLIENTS)}", "burst", f"storm-{run}"
        values.append(
            msgspec.json.encode(
                finding(
                    id=f"{run}-{number}",
                    kind=kind,
                    model=model,
                    subject=Subject(type="client", ids=(client,)),
                    evidence={"count": 1},
                )
            )
        )
    return values, hidden


async def test_ten_real_incidents_in_a_storm_are_told_within_ten_seconds(broker, tmp_path):
    run = uuid.uuid4().hex[:8]
    values, hidden = flood(run, random.Random(2))
    async with receiving() as receiver:
        hook = {
            "name": f"h-{run}",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "secret": SECRET,
            "allow_private": True,
            "per_minute": PER_MINUTE,
            "burst": BURST,
        }
        env = {
            "VEDETTE_HOME": str(tmp_path),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
            "VEDETTE_RESPOND__WEBHOOKS": msgspec.json.encode([hook]).decode(),
            "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
            "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
            "VEDETTE_METRICS__ENABLED": "false",
        }
        with role_process("respond", env) as role:
            warm = finding(id=f"{run}-warm", model=f"warm-{run}")
            sent_s = await post(broker, [msgspec.json.encode(warm)], {})
            await role.until(lambda: f"warm-{run}" in receiver.told_s)
            sent_s = await post(broker, values, {0: f"storm-{run}", **hidden})
            wanted = {*hidden.values(), f"storm-{run}"}
            await role.until(lambda: wanted <= receiver.told_s.keys())
    delays_s = [receiver.told_s[model] - moment for model, moment in sent_s.items()]
    assert max(delays_s) <= 10.0, sorted(delays_s)
    for start_s in receiver.requests_s:
        within = [moment for moment in receiver.requests_s if start_s <= moment < start_s + 60]
        assert len(within) <= BURST + PER_MINUTE


async def post(broker, values, hidden):
    """Send at about a million a minute; return when each real finding was sent."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=5)
    await producer.start()
    sent_s = {}
    try:
        for number, value in enumerate(values):
            await producer.send(FINDINGS, value, key=b"k")
            if number in hidden:
                sent_s[hidden[number]] = time.monotonic()
            if number % 500 == 499:
                await asyncio.sleep(0.03)
        await producer.flush()
    finally:
        await producer.stop()
    return sent_s
