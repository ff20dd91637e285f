"""Who is told of what, how fast, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from config.errors import ConfigError
from config.respond import QuietHours, SinkSettings, SlackSettings
from config.settings import RespondSettings, Settings, WebhookSettings
from streams.notify.limiter import Limiter
from streams.notify.progress import Progress, parse_progress
from streams.notify.routing import is_quiet, withheld
from streams.notify.sinks import sinks_of
from streams.notify.trial import trial_alert
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.judge import Trouble
from tests.unit.respond.samples import alert


def sink(**fields):
    return SinkSettings(name="oncall", **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"min_severity": "high"}, None),
        ({"min_severity": "critical"}, "severity"),
        ({"models": ("dig*",)}, None),
        ({"models": ("iris",)}, "model"),
        ({"tenants": ("t1",)}, None),
        ({"tenants": ("t2",)}, "tenant"),
        ({"rules": ("extraction",)}, None),
        ({"rules": ("burst",)}, "rule"),
        ({"techniques": ("AML.T0024",)}, None),
        ({"techniques": ("AML.T0015",)}, "technique"),
    ],
)
def test_filters(fields, reason):
    assert withheld(alert(), sink(**fields)) == reason


def test_a_rule_names_its_sinks():
    routed = msgspec.structs.replace(alert(), routes=("soc",))
    assert withheld(routed, sink()) == "route"
    assert withheld(msgspec.structs.replace(alert(), routes=("oncall",)), sink()) is None


def test_a_test_passes_every_filter_of_its_sink_and_reaches_no_other():
    hours = QuietHours(begins="00:00", ends="23:59")
    picky = sink(min_severity="critical", models=("iris",), rules=("burst",), quiet_hours=hours)
    trial = trial_alert(1.8e9, "oncall")
    assert withheld(trial, picky) is None
    assert not is_quiet(trial, hours, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert withheld(trial_alert(1.8e9, "soc"), sink()) == "route"


def test_shadow_alerts_are_told_to_nobody():
    assert withheld(msgspec.structs.replace(alert(), shadow=True), sink()) == "shadow"


def test_a_sink_may_not_want_endings():
    ended = msgspec.structs.replace(alert(), state="resolved")
    assert withheld(ended, sink()) is None
    assert withheld(ended, sink(resolved=False)) == "resolved"


def test_heartbeats_go_only_where_they_are_wanted():
    beat = watch_alert(Trouble("heartbeat", "respond", "alive"), "heartbeat", 0, 0)
    assert withheld(beat, sink()) == "heartbeat"
    assert withheld(beat, sink(heartbeat=True, min_severity="critical")) is None


def test_trouble_of_the_watch_passes_filters_of_models():
    lag = watch_alert(Trouble("lag", "detect", "behind"), "opened", 0, 0)
    assert withheld(lag, sink(models=("digits",), tenants=("t1",))) is None
    assert withheld(lag, sink(min_severity="critical")) == "severity"


@pytest.mark.parametrize(
    ("hour", "begins", "ends", "quiet"),
    [
        (23, "22:00", "07:00", True),
        (3, "22:00", "07:00", True),
        (7, "22:00", "07:00", False),
        (12, "22:00", "07:00", False),
        (12, "11:00", "13:00", True),
        (13, "11:00", "13:00", False),
    ],
)
def test_quiet_hours_may_span_midnight(hour, begins, ends, quiet):
    now = datetime(2026, 11, 22, hour, tzinfo=UTC)
    hours = QuietHours(begins=begins, ends=ends)
    assert is_quiet(alert(), hours, now) == quiet
    assert not is_quiet(alert(severity="critical"), hours, now)


def test_quiet_hours_have_a_zone():
    hours = QuietHours(begins="22:00", ends="07:00", zone="Asia/Tokyo")
    assert is_quiet(alert(), hours, datetime(2026, 11, 22, 14, tzinfo=UTC))
    with pytest.raises(ValidationError, match="no such time zone"):
        QuietHours(begins="22:00", ends="07:00", zone="Mars/Olympus")


@given(
    per_minute=st.floats(0.5, 600),
    burst=st.integers(1, 50),
    gaps_s=st.lists(st.floats(0, 5), min_size=1, max_size=300),
)
def test_no_minute_holds_more_than_burst_and_rate(per_minute, burst, gaps_s):
    limiter = Limiter(per_minute, burst)
    now_s, sent = 1e9, []
    for gap_s in gaps_s:
        now_s += gap_s
        if not limiter.wait_s(now_s):
            limiter.take(now_s)
            sent.append(now_s)
    for start_s in sent:
        inside = [moment for moment in sent if start_s <= moment < start_s + 60]
        assert len(inside) <= burst + per_minute + 1


def test_a_clock_set_back_stops_nobody_for_long():
    limiter = Limiter(per_minute=60, burst=5)
    for _ in range(5):
        limiter.take(1e9)
    assert limiter.wait_s(1e6) <= 1.001


@given(st.floats(0, 2e9), st.none() | st.integers(0, 2**62), st.none() | st.integers(0, 2**62))
def test_progress_survives_being_metadata(due_s, digest_end, quiet_from):
    progress = Progress(due_s=due_s, digest_end=digest_end, quiet_from=quiet_from)
    assert parse_progress(progress.text()) == progress
    assert len(progress.text()) < 200


@given(st.text(max_size=100))
def test_foreign_metadata_counts_as_none(text):
    assert isinstance(parse_progress(text), Progress)


def test_two_sinks_of_one_name_are_refused():
    url = SecretStr("https://example.org/")
    hook = WebhookSettings(name="oncall", url=url, secret=SecretStr("whsec_x"))
    slack = SlackSettings(type="slack", name="oncall", url=url)
    with pytest.raises(ConfigError, match="two sinks are called oncall"):
        sinks_of(Settings(respond=RespondSettings(webhooks=(hook,), sinks=(slack,))))
    with pytest.raises(ValidationError, match="same name"):
        RespondSettings(sinks=(slack, slack))


def test_sinks_are_read_from_one_variable(monkeypatch):
    text = (
        '[{"type": "slack", "name": "chat", "url": "https://hooks.example.org/T0"},'
        ' {"type": "smtp", "name": "mail", "host": "mx", "sender": "a@b.c",'
        ' "recipients": ["d@e.f"]}]'
    )
    monkeypatch.setenv("VEDETTE_RESPOND__SINKS", text)
    assert list(sinks_of(Settings())) == ["chat", "mail"]
