"""The retry stage keeps to its schedule, listens to the receiver, and gives up in public."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.retry import JITTER_RATIO, Result, RetryStage
from streams.notify.retry_after import parse_retry_after
from tests.unit.respond.samples import alert

SCHEDULE = (5.0, 300.0, 1800.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Scripted:
    """Answers with the given outcomes, the last one for ever."""

    def __init__(self, *outcomes, name="scripted"):
        self.name, self.outcomes, self.attempts = name, list(outcomes), 0

    async def start(self): ...

    async def close(self): ...

    async def notify(self, alert):
        self.attempts += 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


async def run(*outcomes, jitter=0.0, name="scripted"):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    notifier = Scripted(*outcomes, name=name)
    stage = RetryStage(notifier, SCHEDULE, sleep=sleep, jitter=lambda: jitter)
    return await stage.deliver(alert()), waits, notifier.attempts


async def test_success_needs_one_attempt():
    assert await run(Delivered()) == (Result.DELIVERED, [], 1)


async def test_failures_wait_as_scheduled():
    later = RetryLater("server_error")
    assert await run(later, later, Delivered()) == (Result.DELIVERED, [5.0, 300.0], 3)


async def test_an_exhausted_schedule_disables():
    assert await run(RetryLater("connection")) == (Result.DISABLED, list(SCHEDULE), 4)


async def test_gone_disables_at_once():
    assert await run(Gone()) == (Result.DISABLED, [], 1)


async def test_a_refused_payload_is_given_up_alone():
    assert await run(Permanent("refused_payload")) == (Result.GIVEN_UP, [], 1)


async def test_the_receiver_may_ask_for_more_time_but_not_for_less_or_for_ever():
    for asked_s, waited_s in [(60, 60), (1, 5), (1e9, 1800)]:
        _, waits, _ = await run(RetryLater("slow_down", asked_s), Delivered())
        assert waits == [waited_s]


async def test_jitter_only_ever_waits_longer():
    _, waits, _ = await run(RetryLater("timeout"), Delivered(), jitter=1.0)
    assert waits == [5.0 * (1 + JITTER_RATIO)]


async def test_the_operator_is_told_once_while_the_same_failure_repeats():
    with capture_logs() as logs:
        await run(RetryLater("tls"))
    assert [entry["log_level"] for entry in logs] == ["warning", "critical"]
    assert "disabled" in logs[-1]["event"]


async def test_every_series_exists_before_the_first_alert():
    RetryStage(Scripted(Delivered(), name="fresh"), SCHEDULE)
    labels = {"notifier": "fresh", "reason": "tls"}
    assert REGISTRY.get_sample_value("vedette_notifications_failed_total", labels) == 0
    assert REGISTRY.get_sample_value("vedette_notifications_total", {"notifier": "fresh"}) == 0


async def test_outcomes_are_counted():
    await run(RetryLater("tls"), Gone(), name="counted")
    for reason, count in (("tls", 1), ("gone", 1), ("timeout", 0)):
        labels = {"notifier": "counted", "reason": reason}
        assert REGISTRY.get_sample_value("vedette_notifications_failed_total", labels) == count
    labels = {"notifier": "counted"}
    assert REGISTRY.get_sample_value("vedette_notifier_disabled_info", labels) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("-5", None),
        ("1.5", None), ("soon", None), ("\u0663", None), ("9" * 100, None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0), ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
    ],
)  # fmt: skip
def test_retry_after_is_read(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


@given(st.text(max_size=80))
def test_no_retry_after_header_can_raise(header):
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or seconds >= 0


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001
def test_any_http_date_is_read(moment):
    header = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    expected = max(timedelta(), moment.replace(tzinfo=UTC, microsecond=0) - NOW)
    assert parse_retry_after(header, NOW) == expected.total_seconds()
