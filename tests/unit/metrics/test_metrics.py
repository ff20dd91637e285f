"""Metrics are served on loopback, named as agreed and documented, and on the dashboard."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

import config
import streams.elastic.metrics
import streams.ingest.metrics
import streams.intake.metrics
import streams.ledger.metrics
import streams.notify.metrics
import streams.respond.incidents  # noqa: F401
from config.respond import MetricsSettings
from streams.ingest.metrics import OUTCOMES
from streams.metrics import catalogue
from streams.metrics.pulse import beat
from streams.metrics.server import OFFSETS, MetricsServer
from streams.selfwatch.vitals import SHED

DASHBOARD = Path(config.__file__).with_name("grafana") / "vedette.json"
PAGE = Path(config.__file__).parents[1] / "docs" / "metrics.md"
#: Dashboards of others rely on these.
AGREED = (
    "vedette_records_total",
    "vedette_decode_errors_total",
    "vedette_signature_checks_total",
    "vedette_detector_seconds",
    "vedette_detector_state_keys",
    "vedette_detector_evictions_total",
    "vedette_audit_head_size",
    "vedette_findings_total",
    "vedette_notifications_total",
    "vedette_notifications_failed_total",
    "vedette_notification_seconds",
    "vedette_dlq_records_total",
    "vedette_event_lag_seconds",
    "vedette_consumer_lag_records",
    "vedette_rules_reload_total",
    "vedette_build_info",
)


def served() -> set[str]:
    """Return the names of all series that may be asked for."""
    names = set()
    for family in REGISTRY.collect():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_count", "_sum"),
        }.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def declared() -> dict[str, tuple[str, str]]:
    """Return labels and help text of every metric that any role declares."""
    return {
        metric._name + ("_total" if metric._type == "counter" else ""): (
            ", ".join(f"`{label}`" for label in metric._labelnames),
            metric._documentation,
        )
        for metric in REGISTRY._collector_to_names
        if isinstance(metric, MetricWrapperBase) and metric._name.startswith("vedette_")
    }


def test_the_agreed_names_are_there():
    assert set(AGREED) <= declared().keys()


def test_the_page_of_metrics_lists_exactly_those_there_are():
    row = re.compile(r"^\| `(vedette_\w+)` \| (.*?) ?\| .*? \| (.*?) \|$", re.MULTILINE)
    rows = row.findall(PAGE.read_text())
    assert {name: (labels, text) for name, labels, text in rows} == declared()
    assert len(rows) == len(declared())


def test_what_is_told_as_shed_is_counted_by_metrics_that_there_are():
    for series in SHED.values():
        for name, labels in series:
            assert declared()[name][0] == ", ".join(f"`{label}`" for label in labels)
            assert labels.get("outcome", OUTCOMES[0]) in OUTCOMES


def test_the_dashboard_asks_only_for_series_that_exist():
    dashboard = msgspec.json.decode(DASHBOARD.read_bytes())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"vedette_[a-z_]+", target["expr"])
    }
    assert len(asked) > 15
    assert asked <= served()


def test_labels_are_closed_sets_and_never_who_or_what_was_watched():
    for family in REGISTRY.collect():
        if family.name.startswith("vedette_"):
            labels = {label for sample in family.samples for label in sample.labels}
            assert not labels & {"client", "tenant", "model", "subject", "incident", "url"}


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_a_second_worker_of_a_role_takes_another_port(unused_tcp_port_factory):
    settings = MetricsSettings(port=unused_tcp_port_factory() - OFFSETS["respond"])
    first, second = (MetricsServer(settings, "respond", "1") for _ in range(2))
    try:
        first.open()
        second.open()
        assert first.port == settings.port + OFFSETS["respond"]
        assert second.port not in (0, first.port)
        for port in (first.port, second.port):
            assert 'vedette_build_info{role="respond",version="1"} 1.0' in read(port)
    finally:
        first.close()
        second.close()
    with pytest.raises(OSError, match="refused"):
        read(first.port)


def test_metrics_may_be_off_and_are_never_beyond_loopback():
    server = MetricsServer(MetricsSettings(enabled=False), "respond", "1")
    server.open()
    assert server.port == 0
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        MetricsSettings(host="0.0.0.0")


async def test_a_living_role_touches_its_file(tmp_path):
    task = asyncio.create_task(beat(tmp_path, "detect", 0.01))
    path = tmp_path / "run" / "detect.alive"
    await asyncio.sleep(0.05)
    before = path.stat().st_mtime_ns
    await asyncio.sleep(0.05)
    assert path.stat().st_mtime_ns > before
    task.cancel()


def test_every_reason_and_result_is_there_from_the_start():
    for result in ("ok", "error"):
        labels = {"result": result}
        assert REGISTRY.get_sample_value("vedette_rules_reload_total", labels) is not None
    assert REGISTRY.get_sample_value("vedette_decisions_total", {"reason": "inhibited"}) is not None
    assert catalogue.SEVERITY_LABELS == ("info", "low", "medium", "high", "critical")
