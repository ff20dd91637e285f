"""The watch notices when it is behind, blind or ill, tells it once, and tells when it is over."""

from __future__ import annotations

import pytest

from config.respond import WatchSettings
from config.settings import RespondSettings, Settings
from streams.selfwatch import watcher as watcher_module
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.conditions import CONDITIONS
from streams.selfwatch.firing import Firing
from streams.selfwatch.judge import Judge, Look, Trouble
from streams.selfwatch.watcher import Watcher
from streams.topics import EVENTS, FINDINGS, INTERACTIONS, dlq

SETTINGS = WatchSettings(
    every_s=15, lag_records=1000, lag_s=120, dead_letters_per_minute=60, blind_s=300
)


def look(at_s, lag=0, done=0, letters=0, interactions=0, sources=0):
    ends = {dlq(EVENTS): letters, INTERACTIONS: interactions, EVENTS: sources}
    return Look(at_s, {"detect": lag}, {"detect": done}, ends, {})


def judged(looks, *, watermark_s=0.0, evicted=0.0):
    judge = Judge(SETTINGS, (EVENTS,))
    found = []
    for item in looks:
        found = judge.judge(item, watermark_s=watermark_s, evicted=evicted)
    return {trouble.condition: trouble.why for trouble in found}


def test_all_is_well_when_records_flow():
    flowing = [look(15 * n, lag=5, done=n, interactions=n, sources=n) for n in range(100)]
    assert judged(flowing) == {}


def test_many_waiting_records_are_lag():
    assert "1,001 records" in judged([look(0, lag=1001)])["lag"]


def test_a_few_waiting_records_without_progress_are_lag():
    stuck = [look(15 * n, lag=1, done=7) for n in range(10)]
    assert "no progress for 135 s" in judged(stuck)["lag"]
    assert judged(stuck[:8]) == {}


def test_records_that_come_after_a_rest_are_no_lag_at_once():
    rest = [look(15 * n, lag=0, done=7) for n in range(100)]
    assert judged([*rest, look(1500, lag=3, done=7)]) == {}


def test_a_rate_of_dead_letters_above_the_limit():
    assert judged([look(0, letters=100), look(30, letters=160)]) == {}
    assert "61 dead letters" in judged([look(0, letters=100), look(30, letters=161)])["deadletters"]
    slow = [look(30 * n, letters=25 * n) for n in range(20)]
    assert judged(slow) == {}


def test_traffic_that_stops_is_blindness_and_a_quiet_start_is_not():
    assert judged([look(15 * n) for n in range(100)]) == {}
    stopped = [look(15 * n, interactions=min(n, 10), sources=min(n, 10)) for n in range(40)]
    assert "no event for" in judged(stopped)["blind"]


def test_events_that_go_in_and_do_not_come_out_are_blindness():
    deaf = [look(15 * n, interactions=min(n, 10), sources=n) for n in range(40)]
    assert "producers write" in judged(deaf)["blind"]


def test_findings_from_the_future_are_a_wrong_clock():
    assert judged([look(1000)], watermark_s=1100) == {}
    assert "121 s in the future" in judged([look(1000)], watermark_s=1121)["clock"]


def test_incidents_closed_early_are_told():
    assert "3 incidents" in judged([look(0)], evicted=3)["shed"]


LAG = Trouble("lag", "detect", "it is behind")


def told(firing, *looks):
    return [
        [(trouble.condition, state) for trouble, state, _ in firing.update(troubles, 15.0 * n)]
        for n, troubles in enumerate(looks)
    ]


def test_a_flicker_is_not_told():
    assert told(Firing(), [LAG], [], [LAG], []) == [[], [], [], []]


def test_what_lasts_is_told_once_and_its_end_too():
    firing = Firing()
    assert told(firing, [LAG], [LAG], [LAG], [], [LAG], [], [], []) == [
        *([], [("lag", "opened")], [], [], [], []),
        *([("lag", "resolved")], []),
    ]
    assert not firing.is_firing("lag")


def test_a_disabled_sink_is_told_at_once():
    assert told(Firing(), [Trouble("sink", "oncall", "410")]) == [[("sink", "opened")]]


def test_it_reminds_after_hours():
    firing = Firing()
    list(firing.update([LAG], 0))
    list(firing.update([LAG], 15))
    assert [state for _, state, _ in firing.update([LAG], 5 * 3600)] == ["updated"]


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_makes_an_alert_with_a_runbook(name):
    alert = watch_alert(Trouble(name, "x", "why"), "opened", 1e9, 1e9)
    assert alert.runbook == f"docs/runbooks.md#{name}"
    assert alert.subject.type == "monitor"
    assert alert.severity == CONDITIONS[name].severity


def test_a_restart_within_the_minute_repeats_the_id():
    ids = {watch_alert(LAG, "opened", 1_000_000_000 + n, 0).id for n in (20, 50)}
    assert len(ids) == 1
    assert watch_alert(LAG, "opened", 1_000_000_100, 0).id not in ids


class View:
    def __init__(self, *looks):
        self.looks = list(looks)

    def look(self):
        item = self.looks.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self): ...


async def test_a_broker_that_does_not_answer_is_looked_at_again(monkeypatch):
    behind = [Look(n, {"respond": 9999}, {}, {}, {FINDINGS: 9999}) for n in (0.0, 15.0)]
    view = View(ConnectionError("secret"), *behind)
    monkeypatch.setattr(watcher_module, "BrokerView", lambda *_: view)
    published = []

    async def publish(alert):
        published.append(alert)

    settings = Settings(watch=SETTINGS, respond=RespondSettings())
    made = Watcher(settings, publish)
    for _ in range(3):
        await made.look_once()
    assert [alert.rule for alert in published] == ["lag"]


async def test_the_other_sinks_are_told_of_one_that_is_disabled(monkeypatch):
    view = View(*(Look(float(n), {}, {}, {}, {}) for n in range(2)))
    monkeypatch.setattr(watcher_module, "BrokerView", lambda *_: view)
    published = []

    async def publish(alert):
        published.append(alert)

    made = Watcher(Settings(watch=SETTINGS), publish)
    made.sink_disabled("oncall", "the receiver answered 410 Gone")
    await made.look_once()
    await made.look_once()
    (alert,) = published
    assert (alert.rule, alert.subject.ids, alert.severity) == ("sink", ("oncall",), "high")
    assert "410 Gone" in alert.summary
