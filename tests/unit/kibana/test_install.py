"""The content is uploaded as Kibana's import expects it, and failures are explained."""

from __future__ import annotations

import pytest
from aiohttp import web

from config.errors import ConfigError
from config.settings import KibanaSettings
from streams.kibana.api import dashboard_bodies
from streams.kibana.dashboards import DASHBOARDS
from streams.kibana.export import export, files
from streams.kibana.install import KibanaUnavailable, install
from streams.kibana.picture import draw


class Kibana:
    """Answers as Kibana does."""

    def __init__(self):
        self.version = "9.5.0"
        self.status = 200
        self.answer = {"success": True, "errors": []}
        self.uploads = {}
        self.put_status = 200
        self.bodies = {}
        self.headers = []

    async def start(self):
        app = web.Application()
        app.router.add_get("/api/status", self._status)
        app.router.add_post("/{path:.*}", self._import)
        app.router.add_put("/{path:.*}", self._put)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return runner

    async def _status(self, request):
        return web.json_response({"version": {"number": self.version}})

    async def _put(self, request):
        self.headers.append(request.headers)
        if self.put_status == 200:
            self.bodies[request.path] = await request.json()
        return web.json_response({}, status=self.put_status)

    async def _import(self, request):
        assert request.query["overwrite"] == "true"
        self.headers.append(request.headers)
        form = await request.post()
        self.uploads[request.path] = form["file"].file.read()
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def kibana():
    made = Kibana()
    runner = await made.start()
    yield made
    await runner.cleanup()


async def test_dashboards_come_by_their_own_api_from_9_5_on(kibana):
    done = await install(KibanaSettings(url=kibana.url, space="soc"))
    assert kibana.bodies == {
        f"/s/soc/api/dashboards/{name}": body for name, body in dashboard_bodies().items()
    }
    assert done.by_api == len(DASHBOARDS)
    objects = kibana.uploads["/s/soc/api/saved_objects/_import"]
    assert b'"type":"index-pattern"' in objects
    assert b'"type":"dashboard"' not in objects


@pytest.mark.parametrize("status", [400, 404])
async def test_a_kibana_that_takes_no_such_body_gets_the_saved_objects(kibana, status):
    kibana.put_status = status
    done = await install(KibanaSettings(url=kibana.url))
    assert done.by_api == 0
    assert kibana.uploads["/api/saved_objects/_import"] == files()["vedette.ndjson"]


async def test_a_key_that_may_not_write_dashboards_is_explained(kibana):
    kibana.put_status = 403
    with pytest.raises(KibanaUnavailable, match="API key"):
        await install(KibanaSettings(url=kibana.url))


async def test_everything_is_imported(kibana):
    kibana.version = "9.4.2"
    done = await install(KibanaSettings(url=kibana.url, api_key="abc"))
    assert (done.version, done.rules) == ("9.4.2", 1)
    assert kibana.uploads == {
        "/api/saved_objects/_import": files()["vedette.ndjson"],
        "/api/detection_engine/rules/_import": files()["rules.ndjson"],
    }
    assert {header["kbn-xsrf"] for header in kibana.headers} == {"true"}
    assert {header["Authorization"] for header in kibana.headers} == {"ApiKey abc"}


async def test_a_space_is_part_of_the_path(kibana):
    await install(KibanaSettings(url=kibana.url, space="soc"))
    assert "/s/soc/api/saved_objects/_import" in kibana.uploads


async def test_an_old_kibana_is_refused_before_anything_is_sent(kibana):
    kibana.version = "8.5.3"
    with pytest.raises(KibanaUnavailable, match=r"8\.9 or newer"):
        await install(KibanaSettings(url=kibana.url))
    assert kibana.uploads == {}


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (401, {}, "API key"),
        (403, {}, "API key"),
        (500, {}, "answered 500"),
        (302, {}, "answered 302"),
        (200, {"success": False, "errors": [{"id": "x"}]}, "1 objects"),
    ],
)
async def test_refusals_are_explained_without_the_address(kibana, status, answer, text):
    kibana.status, kibana.answer = status, answer
    with pytest.raises(KibanaUnavailable, match=text) as caught:
        await install(KibanaSettings(url=kibana.url, api_key="sesame"))
    assert kibana.url not in str(caught.value)
    assert "sesame" not in str(caught.value)


async def test_no_kibana_is_explained():
    with pytest.raises(KibanaUnavailable, match="VEDETTE_KIBANA__URL"):
        await install(KibanaSettings(url="http://127.0.0.1:9"))


async def test_a_key_is_not_sent_in_clear_text_to_another_host():
    with pytest.raises(ConfigError, match="https"):
        await install(KibanaSettings(url="http://kibana.example:5601", api_key="abc"))


def test_export_writes_the_files(tmp_path):
    export(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files()


def test_a_picture_is_drawn(tmp_path):
    draw(DASHBOARDS[1], tmp_path / "triage.png")
    assert (tmp_path / "triage.png").read_bytes().startswith(b"\x89PNG")
