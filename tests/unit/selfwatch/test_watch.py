"""The watch notices when it is behind, blind or ill, tells it once, and tells when it is over."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from kafka import TopicPartition

from config.respond import WatchSettings
from config.settings import KafkaSettings, RespondSettings, Settings
from streams.metrics.catalogue import UNSCANNED
from streams.roles.background import Background
from streams.selfwatch import watcher as watcher_module
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.broker_view import summed
from streams.selfwatch.conditions import CONDITIONS
from streams.selfwatch.firing import Firing
from streams.selfwatch.judge import Judge, Look, Trouble
from streams.selfwatch.vitals import Vital, vital_of
from streams.selfwatch.vitals_view import Heard, VitalsView
from streams.selfwatch.watcher import Watcher
from streams.topics import AUDIT, EVENTS, FINDINGS, INTERACTIONS, dlq

SETTINGS = WatchSettings(
    every_s=15, lag_records=1000, lag_s=120, dead_letters_per_minute=60, blind_s=300
)


def look(at_s, *, lag=0, done=0, letters=0, interactions=0, sources=0, lost=0, audited=None):
    audited = interactions if audited is None else audited
    ends = {dlq(EVENTS): letters, INTERACTIONS: interactions, EVENTS: sources, AUDIT: audited}
    return Look(at_s, {"detect": lag}, {"detect": done}, ends, {}, {"detect": lost})


def heard(at_s=1000.0, *, skew_s=0.0, process=7, **shed):
    told = {name.replace("_", " "): float(count) for name, count in shed.items()}
    vital = Vital(role="detect", host="h1", process=process, at_s=at_s + skew_s, shed=told)
    return Heard(vital, at_s)


def judged(looks, *, watermark_s=0.0, heard=()):
    judge = Judge(SETTINGS, (EVENTS,))
    found = []
    for item in looks:
        found = judge.judge(item, watermark_s=watermark_s, heard=heard)
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


def test_a_role_that_never_began_is_blindness_too():
    no_ingest = [look(15 * n, sources=n) for n in range(40)]
    assert "nothing left ingest" in judged(no_ingest)["blind"]
    no_detect = [look(15 * n, sources=n, interactions=n, audited=0) for n in range(40)]
    assert "detect said nothing" in judged(no_detect)["blind"]


def test_findings_from_the_future_are_a_wrong_clock():
    assert judged([look(1000)], watermark_s=1100) == {}
    assert "121 s in the future" in judged([look(1000)], watermark_s=1121)["clock"]


@pytest.mark.parametrize(
    ("skew_s", "says"), [(130, "130 s ahead of"), (-130, "130 s behind"), (100, None)]
)
def test_a_host_with_another_time_is_a_wrong_clock(skew_s, says):
    found = judged([look(1000)], heard=[heard(skew_s=skew_s)])
    assert found.get("clock") == (says and f"the clock of h1 is {says} this host's")


def test_a_process_that_has_ended_has_no_clock():
    assert judged([look(2000)], heard=[heard(at_s=1000, skew_s=500)]) == {}


def test_what_was_deleted_unread_is_told():
    assert "41 records were deleted" in judged([look(0, lost=41)])["lost"]


def sheds(*rounds):
    judge = Judge(SETTINGS, (EVENTS,))
    found = [judge.judge(look(0), watermark_s=0, heard=told) for told in rounds]
    return [[trouble.why for trouble in troubles] for troubles in found]


def test_what_processes_give_up_is_told_once_and_summed_by_role():
    def told(*counts):
        return [heard(process=number, incidents=count) for number, count in enumerate(counts)]

    assert sheds(told(0, 0), told(3, 4), told(3, 4), told(5, 4)) == [
        [],
        ["7 incidents"],
        [],
        ["2 incidents"],
    ]


def test_what_was_given_up_before_the_watch_began_is_no_news():
    assert sheds([heard(incidents=9)], [heard(incidents=9)]) == [[], []]
    assert sheds([], [heard(process=8, incidents=9)]) == [[], []]


def test_a_statement_is_heard_and_nonsense_is_not():
    view = VitalsView(KafkaSettings())
    view.take(b"no vital", 1.0)
    view.take(None, 1.0)
    told = vital_of("detect")
    for at_s in (1.0, 2.0):
        view.take(msgspec.json.encode(told), at_s)
    assert view.heard() == [Heard(told, 2.0)]


def test_a_process_tells_of_what_it_had_no_room_for():
    before = vital_of("detect").shed.get("interactions of models there was no room for", 0)
    UNSCANNED.inc(3)
    assert vital_of("detect").shed["interactions of models there was no room for"] == before + 3


def test_offsets_are_summed_by_role_and_topic():
    one, two = TopicPartition(EVENTS, 0), TopicPartition(EVENTS, 1)
    found = summed({one: 10, two: 0}, {one: 30, two: 5}, {"ingest": {one: 7, two: 5}, "index": {}})
    assert (found.lag, found.lost) == ({"ingest": 23}, {"ingest": 3})
    assert (found.committed, found.ends, found.topic_lag) == (
        {"ingest": 12},
        {EVENTS: 35},
        {EVENTS: 23},
    )


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
    behind = [Look(n, {"respond": 9999}, {}, {}, {FINDINGS: 9999}, {}) for n in (0.0, 15.0)]
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
    view = View(*(Look(float(n), {}, {}, {}, {}, {}) for n in range(2)))
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


async def test_the_heartbeat_is_written_whoever_wants_it(monkeypatch):
    async def nothing(_): ...

    monkeypatch.setattr(watcher_module, "BrokerView", lambda *_: View())
    monkeypatch.setattr(VitalsView, "run", nothing)
    published = []

    async def publish(alert):
        published.append(alert)

    made = Watcher(Settings(watch=WatchSettings(heartbeat_s=1, every_s=60)), publish)
    made.start(Background())
    await asyncio.sleep(1.5)
    await made.stop()
    assert [(alert.kind, alert.state) for alert in published] == [("heartbeat", "heartbeat")] * 2
