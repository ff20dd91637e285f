"""A real Alertmanager takes our alerts, and a real Prometheus scrapes our metrics."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from urllib.parse import quote

import msgspec
import pytest
from pydantic import SecretStr

from config.respond import AlertmanagerSettings, MetricsSettings
from streams.metrics.catalogue import DECISIONS
from streams.metrics.server import OFFSETS, MetricsServer
from streams.notify.alertmanager import AlertmanagerNotifier
from streams.notify.base import Delivered
from tests.integration.programs import get, running
from tests.unit.metrics.test_metrics import DASHBOARD
from tests.unit.respond.samples import alert


def binary(name):
    """Return the path of a Debian package's program, or skip."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    return path


@pytest.fixture
def alertmanager(tmp_path, unused_tcp_port):
    program = binary("prometheus-alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    command = [
        program,
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{unused_tcp_port}",
        "--cluster.listen-address=",
    ]
    with running(command, f"{url}/-/ready"):
        yield url


async def test_alertmanager_takes_escalates_and_ends_an_incident(alertmanager):
    settings = AlertmanagerSettings(
        type="alertmanager", name="am", url=SecretStr(alertmanager), allow_private=True
    )
    notifier = AlertmanagerNotifier(settings)
    worse = msgspec.structs.replace(alert(), state="escalated", severity="critical")
    over = msgspec.structs.replace(worse, state="resolved")

    async def active():
        data = await asyncio.to_thread(get, f"{alertmanager}/api/v2/alerts?active=true")
        return {item["labels"]["level"]: item for item in json.loads(data)}

    try:
        assert await notifier.notify(alert()) == Delivered()
        (shown,) = (await active()).values()
        assert shown["labels"]["alertname"] == "extraction"
        assert shown["labels"]["incident"] == alert().incident
        assert shown["annotations"]["alert_id"] == alert().id
        assert await notifier.notify(worse) == Delivered()
        assert set(await active()) == {"critical"}
        assert await notifier.notify(over) == Delivered()
        assert await active() == {}
    finally:
        await notifier.close()


def test_prometheus_scrapes_a_role(tmp_path, unused_tcp_port_factory):
    program = binary("prometheus")
    ours, theirs = unused_tcp_port_factory(), unused_tcp_port_factory()
    server = MetricsServer(MetricsSettings(port=ours - OFFSETS["respond"]), "respond", "test")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: vedette, static_configs: [{{targets: ['127.0.0.1:{ours}']}}]}}\n"
    )
    DECISIONS.labels("opened").inc(0)
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{theirs}",
    ]
    server.open()
    try:
        with running(command, f"http://127.0.0.1:{theirs}/-/ready"):
            deadline_s = time.monotonic() + 60
            while not (found := asked(theirs, "vedette_build_info")):
                assert time.monotonic() < deadline_s, "nothing was scraped"
                time.sleep(0.5)
            assert found[0]["metric"]["role"] == "respond"
            assert asked(theirs, "vedette_decisions_total{reason='opened'}")
            assert asked(theirs, "up{job='vedette'}")[0]["value"][1] == "1"
            for panel in json.loads(DASHBOARD.read_text())["panels"]:
                for target in panel["targets"]:
                    asked(theirs, target["expr"])  # refused if it is no query
    finally:
        server.close()


def asked(port, query):
    data = get(f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}")
    return json.loads(data)["data"]["result"]
