"""The set-up puts what is missing, in the order in which it is needed, and nothing twice."""

from __future__ import annotations

import asyncio
import json

import pytest

from streams.cli import elastic as commands
from streams.elastic.templates import DIRECTORY
from tests.unit.elastic.stub import Stub


class Templates(Stub):
    """Keeps what is put as Elasticsearch does, numbers and booleans as text."""

    def __init__(self):
        super().__init__()
        self.kept = {}
        self.puts = []

    async def _anything(self, request):
        kind, _, name = request.path.strip("/").rpartition("/")
        if request.method == "PUT":
            self.puts.append((kind, name))
            self.kept[kind, name] = as_text(await request.json())
            return self.answer({"acknowledged": True})
        body = self.kept.get((kind, name))
        if body is None:
            return self.answer({"error": {"type": "resource_not_found"}, "status": 404}, 404)
        single = kind.removeprefix("_")
        if kind == "_ingest/pipeline":
            return self.answer({name: body})
        return self.answer({f"{single}s": [{"name": name, single: {**body, "added": True}}]})


def as_text(value):
    if isinstance(value, dict):
        return {name: as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return json.dumps(value) if isinstance(value, bool | int) else value


@pytest.fixture
async def server(monkeypatch):
    made = Templates()
    runner = await made.start()
    monkeypatch.setenv("VEDETTE_ELASTIC__URLS", json.dumps([made.url]))
    monkeypatch.setenv("VEDETTE_ELASTIC__RETENTION_DAYS", "365")
    yield made
    await runner.cleanup()


@pytest.fixture
def say(server, capsys):
    async def run(*tokens):
        options = {"result_action": "return_value", "exit_on_error": False, "print_error": False}
        await asyncio.to_thread(lambda: commands.app(tokens, **options))
        return capsys.readouterr().out

    return run


async def test_everything_is_put_once_and_in_order(server, say):
    out = await say("setup")
    files = [path for path in DIRECTORY.glob("*.json") if not path.name.startswith("role-")]
    assert out.count("create") == len(server.puts) == len(files)
    kinds = [kind for kind, _ in server.puts]
    order = ["_ingest/pipeline", "_component_template", "_index_template"]
    assert kinds == sorted(kinds, key=order.index)
    lifecycle = server.kept["_component_template", "vedette-lifecycle"]
    assert lifecycle["template"]["lifecycle"]["data_retention"] == "365d"
    again = await say("setup")
    assert again.count("none") == len(files)
    assert len(server.puts) == len(files)


async def test_a_dry_run_changes_nothing_and_shows_what_it_would(server, say):
    out = await say("setup", "--dry-run", "--diff")
    assert server.puts == []
    assert "+template.settings.index.refresh_interval = 5s" in out


async def test_what_somebody_changed_is_shown_and_put_right(server, say):
    await say("setup")
    settings = server.kept["_component_template", "vedette-settings"]
    settings["template"]["settings"]["index"]["refresh_interval"] = "1s"
    out = await say("setup", "--dry-run", "--diff")
    assert "-template.settings.index.refresh_interval = 1s" in out
    assert (await say("setup")).count("update") == 1
    assert (await say("setup")).count("update") == 0


async def test_the_roles_are_printed_for_api_keys(say):
    roles = json.loads(await say("roles"))
    assert set(roles) == {"reader", "setup", "writer"}
