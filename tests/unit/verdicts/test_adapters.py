"""Adapters make gateways follow verdicts, and touch nothing that is not theirs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.respond import LiteLLMSettings, VerdictsSettings
from config.settings import Settings
from streams.identity import Epochs, Pseudonyms
from streams.respond.times import iso
from streams.verdicts import server as server_module
from streams.verdicts.envoy import MAX_CLIENTS, EnvoyFile, discovery_response
from streams.verdicts.follow import Follower
from streams.verdicts.litellm import LiteLLMAdapter
from streams.verdicts.server import VerdictServer
from tests.contract.leaks import assert_no_leak

NAMES = Pseudonyms(b"k" * 32)
KEY = "sk-litellm-master-key"


class Proxy:
    """A LiteLLM proxy with some customers and keys; it answers as litellm 1.108.7 does."""

    def __init__(self, keys=(), **customers):
        self.customers = customers
        #: User and whether it is blocked, by hash.
        self.keys = {key: [user, False] for key, user in dict(keys).items()}
        self.calls = []
        self.status = 200
        self.url = ""

    async def list_customers(self, request):
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        found = [
            {"user_id": name, "blocked": blocked, "spend": 0.0}
            for name, blocked in self.customers.items()
        ]
        return web.json_response(found, status=self.status)

    async def list_keys(self, request):
        page, size = int(request.query["page"]), int(request.query["size"])
        assert size <= 100
        found = [
            {"token": token, "user_id": user, "blocked": blocked or None}
            for token, (user, blocked) in self.keys.items()
        ]
        pages = -(-len(found) // size)
        shown = found[(page - 1) * size : page * size]
        return web.json_response({"keys": shown, "total_pages": pages})

    async def block(self, request):
        names = (await request.json())["user_ids"]
        self.calls.append(("block", names))
        self.customers |= dict.fromkeys(names, True)
        return web.json_response({"blocked_users": []})

    async def unblock(self, _):
        error = "Blocked user check was never set. This call has no effect."
        return web.json_response({"detail": {"error": error}}, status=400)

    async def update(self, request):
        body = await request.json()
        self.calls.append(("update", body))
        self.customers[body["user_id"]] = body["blocked"]
        return web.json_response({})

    async def change_key(self, request):
        verb, key = request.match_info["verb"], (await request.json())["key"]
        self.calls.append((verb, key))
        self.keys[key][1] = verb == "block"
        return web.json_response({})


@contextlib.asynccontextmanager
async def serving(proxy):
    app = web.Application()
    app.router.add_get("/customer/list", proxy.list_customers)
    app.router.add_post("/customer/block", proxy.block)
    app.router.add_post("/customer/unblock", proxy.unblock)
    app.router.add_post("/customer/update", proxy.update)
    app.router.add_get("/key/list", proxy.list_keys)
    app.router.add_post("/key/{verb}", proxy.change_key)
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
    return LiteLLMAdapter(
        settings, Epochs(Pseudonyms(b"n" * 32, epoch=2), NAMES).of, home / "litellm.json"
    )


def pseudonyms(*names):
    return {NAMES.of("client", name) for name in names}


async def test_customers_are_blocked_and_unblocked_by_name(tmp_path):
    async with serving(Proxy(alice=False, mallory=False)) as proxy:
        made = adapter(proxy, tmp_path)
        assert await made.sync(pseudonyms("mallory", "nobody"))
        assert await made.sync(pseudonyms("mallory"))
        assert await made.sync(set())
        await made.close()
    assert proxy.calls == [
        ("block", ["mallory"]),
        ("update", {"user_id": "mallory", "blocked": False}),
    ]


async def test_keys_are_blocked_by_their_user_or_their_hash(tmp_path):
    keys = {"a" * 64: "mallory", "b" * 64: "mallory", "c" * 64: None, "d" * 64: "alice"}
    async with serving(Proxy(keys)) as proxy:
        made = adapter(proxy, tmp_path)
        await made.sync(pseudonyms("mallory", "c" * 64))
        assert [key[0] for key, (_, blocked) in proxy.keys.items() if blocked] == ["a", "b", "c"]
        await made.sync(pseudonyms("c" * 64))
        await made.close()
    assert [key[0] for key, (_, blocked) in proxy.keys.items() if blocked] == ["c"]


async def test_the_key_that_the_adapter_uses_is_never_blocked(tmp_path):
    own = hashlib.sha256(KEY.encode()).hexdigest()
    async with serving(Proxy({own: "mallory"})) as proxy:
        made = adapter(proxy, tmp_path)
        assert await made.sync(pseudonyms("mallory"))
        await made.close()
    assert proxy.calls == []


async def test_long_lists_are_read_to_their_end(tmp_path):
    keys = {f"{number:064x}": f"user-{number}" for number in range(250)}
    customers = {f"customer-{number}": False for number in range(20_000)}
    async with serving(Proxy(keys, **customers)) as proxy:
        made = adapter(proxy, tmp_path)
        assert await made.sync(pseudonyms("customer-19999", "user-249"))
        await made.close()
    assert proxy.calls == [("block", f"{249:064x}"), ("block", ["customer-19999"])]


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


def test_that_the_list_is_full_is_said(tmp_path):
    file = EnvoyFile(tmp_path / "vedette.json", "x")
    with capture_logs() as logs:
        file.write([str(number) for number in range(MAX_CLIENTS + 5)])
    assert [(item["blocked"], item["listed"]) for item in logs] == [(MAX_CLIENTS + 5, MAX_CLIENTS)]


def test_the_file_is_replaced_only_when_the_list_changes(tmp_path):
    path = tmp_path / "envoy" / "vedette.json"
    file = EnvoyFile(path, "x")
    assert file.write(["a"])
    assert not file.write(["a"])
    assert file.write(["a", "b"])
    assert [item.name for item in path.parent.iterdir()] == ["vedette.json"]
    assert msgspec.json.decode(path.read_bytes())["version_info"]


async def test_a_gateway_that_fails_does_not_hold_another_up(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "report", forever)
    monkeypatch.setattr(Follower, "run", forever)
    file = tmp_path / "blocked.json"
    settings = Settings(
        home=tmp_path,
        verdicts=VerdictsSettings(
            port=0,
            envoy_file=file,
            litellm=LiteLLMSettings(url=SecretStr("http://127.0.0.1:1"), key=SecretStr(KEY)),
        ),
    )
    made = VerdictServer(settings)
    running = asyncio.create_task(made.run())
    try:
        made.follower.warm.set()
        for client in ("u1_a", "u1_b"):
            made.table.take(client.encode(), msgspec.json.encode(blocked_from_now(client)))
            async with asyncio.timeout(3):
                while not file.exists() or client not in file.read_text():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def forever(*_):
    await asyncio.Event().wait()


def blocked_from_now(client):
    now = datetime.now(UTC)
    return {
        "client": client,
        "action": "block",
        "shadow": False,
        "since": iso(now - timedelta(minutes=1)),
        "until": iso(now + timedelta(hours=1)),
        "reason": "evasion",
    }
