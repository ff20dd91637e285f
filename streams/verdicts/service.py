"""The lookup service: REST on loopback for gateways that are not in Python.

``GET /v1/verdicts/CLIENT`` answers for a pseudonym, ``GET /v1/verdicts?client=NAME`` for the name
that the gateway knows the client by (its pseudonyms are made here and the name forgotten),
``POST /v1/verdicts`` for many pseudonyms at once. ``GET /healthz`` is 200 once the table is warm,
``GET /metrics`` is for Prometheus.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.metrics.catalogue import VERDICT_LOOKUP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.verdicts.follow import Follower
    from streams.verdicts.judgement import Judgement
    from streams.verdicts.table import Answer

MAX_BODY_BYTES = 256 << 10
MAX_CLIENT_CHARS = 512
MAX_CLIENTS = 1000
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_encoder = msgspec.json.Encoder()


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    clients: list[str]
    tenant: str | None = None


class VerdictService:
    """Answers over HTTP.

    Parameters
    ----------
    judgement
        Gives the answers.
    follower
        Tells whether the table is warm.
    pseudonyms
        Turns a client's name into its pseudonyms under every key.
    """

    def __init__(
        self,
        judgement: Judgement,
        follower: Follower,
        pseudonyms: Callable[[str, str], tuple[str, ...]],
    ) -> None:
        self._judgement = judgement
        self._follower = follower
        self._pseudonyms = pseudonyms

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_only_local])
        app.router.add_get("/v1/verdicts/{client}", self._one)
        app.router.add_get("/v1/verdicts", self._named)
        app.router.add_post("/v1/verdicts", self._many)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", _metrics)
        return app

    async def _one(self, request: web.Request) -> web.Response:
        client = request.match_info["client"]
        if len(client) > MAX_CLIENT_CHARS:
            return _refused("client is 1 to 512 characters")
        return self._answered((client,), request)

    async def _named(self, request: web.Request) -> web.Response:
        name = request.query.get("client", "")
        if not 0 < len(name) <= MAX_CLIENT_CHARS:
            return _refused("client is 1 to 512 characters")
        return self._answered(self._pseudonyms("client", name), request)

    def _answered(self, clients: Sequence[str], request: web.Request) -> web.Response:
        started_s = time.perf_counter()
        client, answer = self._judgement.of_any(clients, request.query.get("tenant"))
        body = _encoder.encode({"client": client, **_fields(answer)})
        VERDICT_LOOKUP_SECONDS.observe(time.perf_counter() - started_s)
        return web.Response(body=body, content_type="application/json")

    async def _many(self, request: web.Request) -> web.Response:
        try:
            question = msgspec.json.decode(await request.read(), type=_Question)
        except msgspec.DecodeError:
            return _refused('the body is {"clients": ["u1_..."]}')
        if len(question.clients) > MAX_CLIENTS:
            return _refused(f"at most {MAX_CLIENTS} clients at once")
        found = {
            client: _fields(self._judgement.of(client, question.tenant))
            for client in question.clients
            if len(client) <= MAX_CLIENT_CHARS
        }
        return web.Response(body=_encoder.encode(found), content_type="application/json")

    async def _health(self, _: web.Request) -> web.Response:
        warm = self._follower.warm.is_set()
        return web.Response(status=200 if warm else 503, text="warm" if warm else "loading")


@web.middleware
async def _only_local(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other names for loopback: a web page may resolve its own name to this address."""
    host, colon, port = request.host.rpartition(":")
    if (host if colon and port.isdigit() else request.host) not in _LOCAL_NAMES:
        return web.json_response({"error": "ask for 127.0.0.1 or localhost"}, status=421)
    return await handler(request)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _fields(answer: Answer) -> dict[str, Any]:
    return answer._asdict()


def _refused(why: str) -> web.Response:
    return web.json_response({"error": why}, status=400)
