"""Adapters make gateways follow verdicts, and touch nothing that is not theirs."""

from __future__ import annotations

import contextlib

import msgspec
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.respond import LiteLLMSettings
from streams.identity import Pseudonyms
from streams.verdicts.envoy import MAX_CLIENTS, EnvoyFile, discovery_response
from streams.verdicts.litellm import LiteLLMAdapter
from tests.contract.leaks import assert_no_leak

NAMES = Pseudonyms(b"k" * 32)
KEY = "sk-litellm-master-key"


class Proxy:
    """A LiteLLM proxy with some customers."""

    def __init__(self, **customers):
        self.customers = customers
        self.calls = []
        self.status = 200
        self.url = ""

    async def list(self, request):
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        found = [
            {"user_id": name, "blocked": blocked, "spend": 0.0}
            for name, blocked in self.customers.items()
        ]
        return web.json_response(found, status=self.status)

    async def change(self, request):
        verb = request.match_info["verb"]
        names = (await request.json())["user_ids"]
        self.calls.append((verb, names))
        for name in names:
            self.customers[name] = verb == "block"
        return web.json_response({})


@contextlib.asynccontextmanager
async def serving(proxy):
    app = web.Application()
    app.router.add_get("/customer/list", proxy.list)
    app.router.add_post("/customer/{verb}", proxy.change)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()


def adapter(proxy, home):
    settings = LiteLLMSettings(url=SecretStr(proxy.url), key=SecretStr(KEY))
    return LiteLLMAdapter(settings, NAMES.of, home / "litellm.json")


def pseudonyms(*names):
    return {NAMES.of("client", name) for name in names}


async def test_customers_are_blocked_and_unblocked_by_name(tmp_path):
    async with serving(Proxy(alice=False, mallory=False)) as proxy:
        made = adapter(proxy, tmp_path)
        assert await made.sync(pseudonyms("mallory", "nobody"))
        assert await made.sync(pseudonyms("mallory"))
        assert await made.sync(set())
        await made.close()
    assert proxy.calls == [("block", ["mallory"]), ("unblock", ["mallory"])]


async def test_a_block_that_somebody_set_by_hand_stays(tmp_path):
    async with serving(Proxy(alice=True)) as proxy:
        made = adapter(proxy, tmp_path)
        await made.sync(pseudonyms("alice"))
        await made.sync(set())
        await made.close()
    assert proxy.calls == []


async def test_whom_it_blocked_is_remembered_over_a_restart(tmp_path):
    async with serving(Proxy(mallory=False)) as proxy:
        first = adapter(proxy, tmp_path)
        await first.sync(pseudonyms("mallory"))
        await first.close()
        second = adapter(proxy, tmp_path)
        await second.sync(set())
        await second.close()
    assert proxy.customers == {"mallory": False}


async def test_a_failing_proxy_is_tried_again_and_no_secret_is_told(tmp_path):
    async with serving(Proxy(mallory=False)) as proxy:
        proxy.status = 500
        made = adapter(proxy, tmp_path)
        with capture_logs() as logs:
            assert not await made.sync(pseudonyms("mallory"))
        proxy.status = 200
        assert await made.sync(pseudonyms("mallory"))
        await made.close()
    assert logs
    assert_no_leak((KEY, proxy.url), logs)


def test_envoy_denies_exactly_the_blocked():
    (resource,) = discovery_response(["u1_b", "u1_a"], "x-vedette-client")["resources"]
    rules = resource["typed_config"]["rules"]
    assert rules["action"] == "DENY"
    principals = rules["policies"]["vedette"]["principals"]
    assert [item["header"]["string_match"]["exact"] for item in principals] == ["u1_a", "u1_b"]
    assert principals[0]["header"]["name"] == "x-vedette-client"


def test_with_nobody_blocked_envoy_denies_nobody():
    (resource,) = discovery_response([], "x")["resources"]
    assert resource["typed_config"]["rules"]["policies"] == {}


def test_the_list_is_bounded():
    (resource,) = discovery_response(map(str, range(MAX_CLIENTS + 5)), "x")["resources"]
    assert (
        len(resource["typed_config"]["rules"]["policies"]["vedette"]["principals"]) == MAX_CLIENTS
    )


def test_the_file_is_replaced_only_when_the_list_changes(tmp_path):
    path = tmp_path / "envoy" / "vedette.json"
    file = EnvoyFile(path, "x")
    assert file.write(["a"])
    assert not file.write(["a"])
    assert file.write(["a", "b"])
    assert [item.name for item in path.parent.iterdir()] == ["vedette.json"]
    assert msgspec.json.decode(path.read_bytes())["version_info"]
