"""From a finding to what a gateway is told, through the real broker and the real role."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid

import aiohttp
import msgspec
import pytest

from config.respond import VerdictsSettings
from config.settings import KafkaSettings, Settings
from detectors.finding import Subject
from streams.topics import FEEDBACK, FINDINGS
from streams.verdicts.server import VerdictServer
from tests.integration.killing import produce, role_process
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@contextlib.asynccontextmanager
async def serving(broker, home):
    settings = Settings(
        home=home,
        kafka=KafkaSettings(bootstrap_servers=broker),
        verdicts=VerdictsSettings(port=0, envoy_file=home / "envoy.json"),
        pseudonym_key="a key of thirty-two bytes or more",
    )
    server = VerdictServer(settings)
    started = asyncio.Event()
    task = asyncio.create_task(server.run(started))
    try:
        await asyncio.wait_for(started.wait(), 10)
        await asyncio.wait_for(server.follower.warm.wait(), 30)
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def attacker(run, number):
    return finding(
        id=f"{run}-{number}",
        severity="critical",
        log_e=40.0,
        time=now(),
        model=f"m-{run}",
        subject=Subject(type="client", ids=(f"u1_{run}_{number}",)),
    )


def now():
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()


async def test_a_finding_blocks_within_a_second_and_one_command_lifts_it(broker, tmp_path):
    run = uuid.uuid4().hex[:8]
    env = {
        "VEDETTE_HOME": str(tmp_path),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_RESPOND__VERDICT_SHADOW": "false",
        "VEDETTE_RESPOND__VERDICT_DELAY_S": "0",
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
        "VEDETTE_METRICS__ENABLED": "false",
    }
    async with serving(broker, tmp_path) as server, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{server.port}/v1/verdicts"

        async def asked(number, wanted):
            """Return how long the service took to answer as wanted."""
            started_s = time.monotonic()
            while time.monotonic() - started_s < 30:
                async with http.get(f"{url}/u1_{run}_{number}") as response:
                    if (await response.json())["action"] == wanted:
                        return time.monotonic() - started_s
                await asyncio.sleep(0.01)
            pytest.fail(f"the service never said {wanted}")

        with role_process("respond", env):
            await produce(broker, FINDINGS, [msgspec.json.encode(attacker(run, 0))])
            await asked(0, "block")  # the role has started
            delays_s = []
            for number in range(1, 8):
                await produce(broker, FINDINGS, [msgspec.json.encode(attacker(run, number))])
                delays_s.append(await asked(number, "block"))
            assert sorted(delays_s)[len(delays_s) // 2] <= 1.0, delays_s
            word = {
                "id": uuid.uuid4().hex,
                "verb": "lift",
                "target": f"u1_{run}_3",
                "author": "ann",
                "time": now(),
                "until": "2126-01-01T00:00:00Z",
            }
            await produce(broker, FEEDBACK, [msgspec.json.encode(word)])
            await asked(3, "allow")
            await asked(4, "block")
        await asyncio.sleep(1.0)
        listed = (tmp_path / "envoy.json").read_text()
        assert f"u1_{run}_4" in listed
        assert f"u1_{run}_3" not in listed
