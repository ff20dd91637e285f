"""Two workers of respond: one works, one is in reserve, and a dead one is replaced."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

import msgspec
import pytest
from aiohttp import web

from streams.respond.alerts import RUNBOOKS
from streams.topics import FINDINGS
from tests.integration.hook import listening
from tests.integration.killing import produce, role_process
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def environment(broker, home, port, run):
    sinks = [
        {
            "type": "webhook",
            "name": f"{name}-{run}",
            "url": f"http://127.0.0.1:{port}/{name}",
            "secret": SECRET,
            "allow_private": True,
        }
        for name in ("well", "gone")
    ]
    return {
        "VEDETTE_HOME": str(home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
        "VEDETTE_RESPOND__SINKS": msgspec.json.encode(sinks).decode(),
        "VEDETTE_WATCH__EVERY_S": "0.5",
        "VEDETTE_METRICS__ENABLED": "false",
    }


async def test_whichever_worker_dies_the_other_goes_on_and_tells_once(broker, tmp_path):
    run = uuid.uuid4().hex[:8]
    told: Counter[str] = Counter()
    sinks = []

    async def well(request):
        data = msgspec.json.decode(await request.read())["data"]
        if data["model"].startswith(run):
            told[data["model"]] += 1
        if data["rule"] == "sink":
            sinks.append(data)
        return web.Response(status=204)

    async def gone(request):
        return web.Response(status=410)

    async def finds(*workers, model):
        values = [msgspec.json.encode(finding(id=model, model=model, trigger=model))]
        await produce(broker, FINDINGS, values)
        for worker in workers:
            await worker.until(lambda: told[model] > 0)

    async with listening({"/well": well, "/gone": gone}) as port:
        env = environment(broker, tmp_path, port, run)
        with role_process("respond", env) as one:
            await finds(one, model=f"{run}-1")
            with role_process("respond", env) as other:
                await asyncio.sleep(5)
                await finds(one, other, model=f"{run}-2")
                one.kill()
                await finds(other, model=f"{run}-3")
                with role_process("respond", env) as third:
                    await asyncio.sleep(5)
                    await finds(other, third, model=f"{run}-4")
                    other.kill()
                    await finds(third, model=f"{run}-5")
    assert told == {f"{run}-{number}": 1 for number in range(1, 6)}
    assert {data["subject"]["ids"][0] for data in sinks} == {f"gone-{run}"}
    assert {data["runbook"] for data in sinks} == {f"{RUNBOOKS}#sink"}
