"""The watch looks at a real broker, and its heartbeat reaches the sink that wants it."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
import pytest

from streams.roles import ROLES
from streams.selfwatch.broker_view import BrokerView
from streams.selfwatch.vitals_view import VitalsView
from streams.topics import ALERTS, FINDINGS, TOPICS, VERDICTS, dlq
from tests.integration.killing import produce, role_process
from tests.integration.test_respond import receiving
from tests.unit.respond.samples import finding
from tests.unit.verdicts.test_table import verdict

pytestmark = pytest.mark.kafka


async def test_a_look_sees_every_topic_and_how_far_a_role_is(broker, settings):
    view = BrokerView(settings.kafka, tuple(ROLES))
    try:
        first = await asyncio.to_thread(view.look)
        assert first.ends.keys() == {spec.name for spec in TOPICS}
        over = msgspec.json.encode(verdict("u1_nobody"))  # that other tests do not mind
        await produce(broker, VERDICTS, [over] * 3, key=b"u1_nobody")
        second = await asyncio.to_thread(view.look)
        assert second.ends[VERDICTS] == first.ends[VERDICTS] + 3
        assert second.ends[dlq(FINDINGS)] == first.ends[dlq(FINDINGS)]
    finally:
        view.close()


@pytest.mark.slow
async def test_a_heartbeat_comes_and_respond_has_no_lag(broker, tmp_path, settings):
    run = uuid.uuid4().hex[:8]
    async with receiving() as receiver:
        receiver.dice.random = lambda: 1.0
        hook = {
            "type": "webhook",
            "name": f"h-{run}",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "allow_private": True,
            "heartbeat": True,
            "per_minute": 6000,
        }
        env = {
            "VEDETTE_HOME": str(tmp_path),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
            "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
            "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
            "VEDETTE_RESPOND__SINKS": msgspec.json.encode([hook]).decode(),
            "VEDETTE_WATCH__HEARTBEAT_S": "1",
            "VEDETTE_WATCH__EVERY_S": "0.5",
            "VEDETTE_METRICS__ENABLED": "false",
        }

        def beats():
            bodies = [
                msgspec.json.decode(item) for items in receiver.ids.values() for item in items
            ]
            return [body for body in bodies if body["type"] == "vedette.alert.heartbeat"]

        vitals = VitalsView(settings.kafka)
        hearing = asyncio.create_task(vitals.run())
        with role_process("respond", env) as role:
            await produce(broker, FINDINGS, [msgspec.json.encode(finding(id=run, model=run))])
            await role.until(lambda: len(beats()) >= 1)
            await role.until(lambda: "respond" in {vital.role for vital, _ in vitals.heard()})
            hearing.cancel()
            ((vital, at_s), *_) = [item for item in vitals.heard() if item.vital.role == "respond"]
            assert abs(at_s - vital.at_s) < 5
            view = BrokerView(settings.kafka, ("respond",))
            for _ in range(50):
                look = await asyncio.to_thread(view.look)
                if look.lag.get("respond") == 0:
                    break
                await asyncio.sleep(0.2)
            view.close()
            assert look.lag["respond"] == 0
            assert look.committed["respond"] > 0
            assert look.topic_lag[FINDINGS] == 0
            assert look.ends[ALERTS] > 0
