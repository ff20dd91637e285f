"""A campaign of 24,000 accounts is a handful of alerts, exact, bounded, and a verdict for each."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import REGISTRY

from config.respond import RespondSettings
from detectors.finding import Subject
from streams.notify.base import Delivered
from streams.notify.retry import RetryStage
from streams.respond.alerts import MAX_SUBJECTS, Alert
from streams.respond.policy import VerdictPolicy
from streams.respond.responder import Responder
from streams.respond.verdicts import Verdict
from streams.topics import ALERTS
from tests.unit.respond.samples import RULES, alert, finding

ACCOUNTS = 24_000
#: So many a detector names in one finding.
MAX_NAMED = 1000
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
PARTITIONS = 4


def told(seconds, partition, accounts):
    """Return the findings in which a detector tells of its accounts at a moment."""
    names = [f"u1_{partition}_{number:05}" for number in range(accounts)]
    for first in range(0, accounts, MAX_NAMED):
        yield finding(
            id=f"f-{partition}-{seconds}-{first}",
            kind="collusion",
            detector="campaign.accounts",
            time=(BEGAN + timedelta(seconds=seconds)).isoformat(),
            subject=Subject(type="campaign", ids=tuple(names[first : first + MAX_NAMED])),
            evidence={"channel": "far", "accounts": accounts, "suspicion": 5.0},
            log_e=40.0,
        )


def findings():
    """Yield what four detectors tell while the campaign grows by a quarter each time."""
    size = 8.0
    for step in itertools.count():
        accounts = min(ACCOUNTS // PARTITIONS, int(size))
        for partition in range(PARTITIONS):
            yield from told(20.0 * step + partition, partition, accounts)
        if accounts == ACCOUNTS // PARTITIONS:
            return
        size *= 1.25


def responder(**options):
    settings = RespondSettings(**options)
    return Responder(settings, lambda: RULES, VerdictPolicy(settings, lambda _: 0.5))


def outs_of(made, items):
    for item in items:
        yield from made.take_finding(msgspec.json.encode(item))


def alerts_of(outs):
    return [msgspec.json.decode(out.value, type=Alert) for out in outs if out.topic == ALERTS]


@pytest.fixture(scope="module")
def campaign():
    """Return every record that the campaign leads to, and its end."""
    made = responder()
    outs = list(outs_of(made, findings()))
    end_us = made.incidents.watermark_us + 3_600_000_000
    return outs, alerts_of(made.advance(end_us))


def test_it_is_a_handful_of_alerts_of_one_incident(campaign):
    outs, ended = campaign
    alerts = alerts_of(outs)
    assert len(alerts) <= 6
    assert len({alert.incident for alert in (*alerts, *ended)}) == 1
    assert [alert.subjects_total for alert in alerts] == sorted(
        alert.subjects_total for alert in alerts
    )


def test_the_last_alert_counts_every_account_once(campaign):
    _, (last,) = campaign
    assert (last.state, last.subjects_total, last.exact) == ("resolved", ACCOUNTS, True)
    assert "a campaign of 24,000 clients" in last.summary


def test_no_alert_is_larger_than_its_bound(campaign):
    outs, ended = campaign
    for told_of in (*alerts_of(outs), *ended):
        assert len(told_of.subject.ids) <= MAX_SUBJECTS
        assert len(msgspec.json.encode(told_of)) < 16_000


def test_each_account_gets_a_verdict(campaign):
    outs, _ = campaign
    verdicts = [
        msgspec.json.decode(out.value, type=Verdict)
        for out in outs
        if out.topic != ALERTS and out.value
    ]
    judged = {verdict.client: verdict for verdict in verdicts}
    assert len(judged) == ACCOUNTS
    assert {verdict.action for verdict in judged.values()} == {"challenge"}


def test_until_all_are_named_the_count_says_at_least():
    made = responder()
    parts = list(told(0, 0, 2500))
    (opened,) = alerts_of(outs_of(made, parts[:1]))
    assert (opened.subjects_total, opened.exact) == (2500, False)
    assert "a campaign of at least 2,500 clients" in opened.summary
    assert alerts_of(outs_of(made, parts[1:])) == []
    (ended,) = alerts_of(made.advance(made.incidents.watermark_us + 3_600_000_000))
    assert (ended.subjects_total, ended.exact) == (2500, True)


def test_a_known_campaign_inhibits_what_its_accounts_do_besides():
    made = responder()
    alerts_of(outs_of(made, told(0, 0, 40)))
    member = Subject(type="client", ids=("u1_0_00007",))
    time = (BEGAN + timedelta(seconds=5)).isoformat()
    burst = finding(id="b", kind="burst", subject=member, time=time)
    assert alerts_of(outs_of(made, [burst])) == []
    stranger = Subject(type="client", ids=("u1_stranger",))
    (told_of,) = alerts_of(
        outs_of(made, [msgspec.structs.replace(burst, id="c", subject=stranger)])
    )
    assert told_of.rule == "burst"


class Sink:
    """A notifier that takes everything."""

    name = "campaigns"

    async def start(self): ...

    async def notify(self, _):
        return Delivered()

    async def close(self): ...


async def test_that_a_message_names_fewer_than_take_part_is_counted_by_notifier(campaign):
    def truncated():
        labels = {"notifier": Sink.name}
        return REGISTRY.get_sample_value("vedette_notifications_truncated_total", labels)

    stage = RetryStage(Sink(), ())
    before = truncated()
    _, (last,) = campaign
    await stage.deliver(last)
    await stage.deliver(alert())
    assert truncated() == before + 1
