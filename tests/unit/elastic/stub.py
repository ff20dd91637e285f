"""A loopback server that answers as Elasticsearch does, and misbehaves on request.

It is driven through the real client. What a healthy node shows too is tested on one
(tests/integration/elastic); this is for the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

MEDIA_TYPE = "application/vnd.elasticsearch+json;compatible-with=9"


@dataclass
class Stub:
    """What was sent, and what to answer.

    ``answers`` are used up, one a bulk request: an HTTP status, or a function that gives the
    result of an item, or None for the usual one; ``slow_s`` delays every answer.
    """

    documents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    answers: list[int | str | Callable[[str, str], dict[str, Any] | None]] = field(
        default_factory=list
    )
    requests: list[int] = field(default_factory=list)
    creates: Counter[str] = field(default_factory=Counter)
    product: str | None = "Elasticsearch"
    slow_s: float = 0.0
    under_way: int = 0
    most_under_way: int = 0
    url: str = ""
    #: What other requests are answered, by the beginning of their path: status and body.
    others: dict[str, tuple[int, Any]] = field(default_factory=dict)

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/_bulk", self._bulk)
        app.router.add_route("*", "/{rest:.*}", self._anything)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return runner

    def answer(self, body: object, status: int = 200) -> web.Response:
        headers = {"X-Elastic-Product": self.product} if self.product else {}
        return web.Response(
            text=json.dumps(body), status=status, headers={**headers, "Content-Type": MEDIA_TYPE}
        )

    async def _bulk(self, request: web.Request) -> web.StreamResponse:
        assert request.query["require_data_stream"] == "true"
        assert "refresh" not in request.query
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            lines = (await request.read()).splitlines()
            await asyncio.sleep(self.slow_s)
            return await self._respond(request, lines)
        finally:
            self.under_way -= 1

    async def _respond(self, request: web.Request, lines: list[bytes]) -> web.StreamResponse:
        pairs = [
            (json.loads(lines[i])["create"], json.loads(lines[i + 1]))
            for i in range(0, len(lines), 2)
        ]
        self.requests.append(len(pairs))
        special = self.answers.pop(0) if self.answers else None
        if special == "cut":  # stored, but the answer never arrives
            for action, document in pairs:
                self._create(action, document)
            request.transport.close()
            return web.Response()
        if isinstance(special, int):
            return self.answer({"error": {"type": f"status_{special}"}, "status": special}, special)
        items = []
        for action, document in pairs:
            result = special(action["_index"], action["_id"]) if special else None
            if result is None:
                result = self._create(action, document)
            items.append({"create": {**result, "_id": action["_id"]}})
        errors = any(item["create"]["status"] != 201 for item in items)
        return self.answer({"took": 1, "errors": errors, "items": items})

    def _found(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer what is asked of a log: its documents within a range of places."""
        wanted = {k: v for item in query.get("bool", {}).get("filter", []) for k, v in item.items()}
        if not {"term", "range"} <= wanted.keys():
            return []
        bounds = wanted["range"]["event.sequence"]
        places = range(bounds["gte"], bounds.get("lt", 1 << 62))
        found = sorted(
            (document["event"]["sequence"], document)
            for document in self.documents.values()
            if document["vedette"].get("chain", {}).get("log") in wanted["term"].values()
            and document["event"]["sequence"] in places
        )
        return [{"_source": document, "sort": [place]} for place, document in found]

    def _create(self, action: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        key = action["_index"], action["_id"]
        self.creates[action["_id"]] += 1
        if key in self.documents:
            kind = "version_conflict_engine_exception"
            return {"status": 409, "error": {"type": kind, "reason": "secret content"}}
        self.documents[key] = document
        return {"status": 201}

    async def _anything(self, request: web.Request) -> web.Response:
        for path, (status, body) in self.others.items():
            if request.path.startswith(path):
                return self.answer(body, status)
        if request.path.endswith("/_search"):
            hits = self._found((await request.json()).get("query", {}))
            return self.answer({"hits": {"hits": hits, "total": {"value": len(hits)}}})
        if request.path.endswith("/_count"):
            return self.answer({"count": 0})
        return self.answer({})


def refuse(status: int, kind: str, *, ids: set[str] | None = None) -> Callable[..., Any]:
    """Return an answer that refuses some items."""

    def result(_: str, identity: str) -> dict[str, Any] | None:
        if ids is not None and identity not in ids:
            return None
        return {"status": status, "error": {"type": kind, "reason": "secret content"}}

    return result


def parked(_: str, __: str) -> dict[str, Any]:
    """Answer as the failure store does."""
    return {"status": 201, "failure_store": "used"}
