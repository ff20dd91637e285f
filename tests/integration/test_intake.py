"""The intake in a process of its own, on a real broker, under a real client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from streams.broker.ports import free_port
from tests.integration.ingesting import ROOT, create_topics, read_until
from tests.unit.decode.producers import CALL
from tests.unit.decode.records import REQUEST, RESPONSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

TOKEN = "a-token-of-sixteen-chars"
CALLS = 300


class Server:
    """The command as a child process."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.url = f"http://any:{TOKEN}@127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", "intake"],
            cwd=ROOT, env={**os.environ, **environment},
        )  # fmt: skip

    async def ready(self, session: aiohttp.ClientSession) -> None:
        deadline_s = time.monotonic() + 60
        while True:
            try:
                async with session.get(self.url + "/health") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                assert self._process.poll() is None, "the intake stopped by itself"
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.1)

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(30)


@pytest.fixture
async def topic(broker: str) -> str:
    name = f"it.intake.{uuid.uuid4().hex[:12]}"
    await create_topics(broker, name)
    return name


@pytest.fixture
async def server(broker: str, topic: str, tmp_path: Path) -> AsyncIterator[Server]:
    port = free_port()
    instance = Server(
        {
            "VEDETTE_HOME": str(tmp_path),
            "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
            "VEDETTE_INTAKE__TOPIC": topic,
            "VEDETTE_INTAKE__PORT": str(port),
            "VEDETTE_INTAKE__TOKEN": TOKEN,
        },
        port,
    )
    yield instance
    instance.end(signal.SIGKILL)


def headers_of_kserve(half: str, number: int) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Ce-Id": f"k{number}",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Specversion": "1.0",
        "Ce-Type": f"org.kubeflow.serving.inference.{half}",
        "Ce-Inferenceservicename": "iris",
    }


async def test_what_was_answered_with_202_is_on_kafka_and_halves_share_a_partition(
    broker: str, topic: str, server: Server
) -> None:
    async def post(session: aiohttp.ClientSession, half: str, number: int) -> int:
        body = json.dumps(REQUEST if half == "request" else RESPONSE)
        headers = headers_of_kserve(half, number)
        async with session.post(server.url, data=body, headers=headers) as response:
            return response.status

    async with aiohttp.ClientSession() as session:
        await server.ready(session)
        posts = [post(session, half, n) for n in range(CALLS) for half in ("request", "response")]
        statuses = await asyncio.gather(*posts)
        async with session.post(server.url + "/litellm", json=[CALL] * 3) as response:
            statuses.append(response.status)
    assert set(statuses) == {202}
    expected = 2 * CALLS + 3
    records = await read_until(broker, topic, lambda found: len(found) >= expected)
    assert len(records) == expected
    places: dict[bytes, set[int]] = {}
    for record in records:
        event_id = dict(record.headers).get("ce_id")
        if event_id is not None:
            places.setdefault(event_id, set()).add(record.partition)
    assert len(places) == CALLS
    assert all(len(partitions) == 1 for partitions in places.values())
    assert {partition for found in places.values() for partition in found} == {0, 1}
    assert server.end(signal.SIGTERM) == 0


async def test_without_the_token_nothing_reaches_kafka(topic: str, server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        await server.ready(session)
        url = server.url.replace(TOKEN, "another-token-of-chars")
        options: Any = {"data": "{}", "headers": headers_of_kserve("request", 1)}
        async with session.post(url, **options) as response:
            assert response.status == 401
