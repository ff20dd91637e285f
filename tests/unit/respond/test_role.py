"""The respond role acknowledges findings only when alerts and verdicts are with the broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from pydantic import SecretStr

from config.errors import ConfigError, Fatal
from config.settings import RespondSettings, Settings, WebhookSettings
from detectors.finding import Subject
from streams.respond.alerts import Alert, alert_id
from streams.respond.feedback import Feedback
from streams.respond.verdicts import Verdict
from streams.roles import respond
from streams.roles.base import Partition
from streams.topics import ALERTS, FEEDBACK, FINDINGS, VERDICTS, dlq
from tests.unit.respond.fakes import Acks, FakeProducer
from tests.unit.respond.samples import finding

OWNED = {Partition(FINDINGS, 0), Partition(FEEDBACK, 0)}


def settings(home, **respond_settings):
    """Return settings in which every chunk is followed by a snapshot."""
    return Settings(
        home=home,
        respond=RespondSettings(snapshot_interval_s=0, verdict_delay_s=0, **respond_settings),
    )


@pytest.fixture
def producer(monkeypatch):
    made = FakeProducer()
    monkeypatch.setattr(respond, "Producer", lambda _: made)
    return made


@pytest.fixture
async def role(producer, tmp_path):
    made = respond.make(settings(tmp_path))
    await made.start()
    yield made
    await made.stop()
    assert producer.stopped


@pytest.fixture
def findings():
    return Acks(FINDINGS)


def encoded(**changes):
    return msgspec.json.encode(finding(**changes))


async def test_a_finding_becomes_an_alert_and_a_verdict(role, producer, findings):
    await role.process(findings.chunk(encoded()))
    (alert,) = producer.values(ALERTS)
    assert msgspec.json.decode(alert, type=Alert).id == alert_id(finding().id)
    ((_, key, verdict),) = [item for item in producer.sent if item[0] == VERDICTS]
    assert key == b"u1_mallory"
    assert msgspec.json.decode(verdict, type=Verdict).action == "challenge"
    assert findings.acked == [0]


async def test_nothing_is_acknowledged_before_the_broker_has_it(role, producer, findings):
    producer.hold = True
    processing = asyncio.create_task(role.process(findings.chunk(encoded())))
    await asyncio.sleep(0.01)
    assert findings.acked == []
    producer.release()
    await processing
    assert findings.acked == [0]


async def test_a_failed_delivery_leaves_the_role_and_acknowledges_nothing(role, producer, findings):
    producer.hold = True
    processing = asyncio.create_task(role.process(findings.chunk(encoded())))
    await asyncio.sleep(0.01)
    producer.open[0].set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await processing
    assert findings.acked == []
    role._in_flight.clear()


async def test_a_worker_that_failed_raises_the_same_alert_again_at_its_next_start(
    producer, findings, tmp_path
):
    producer.hold = True
    first = respond.make(settings(tmp_path))
    await first.start()
    chunk = findings.chunk(encoded())
    processing = asyncio.create_task(first.process(chunk))
    await asyncio.sleep(0.01)
    processing.cancel()
    await asyncio.gather(processing, return_exceptions=True)
    producer.hold = False
    second = respond.make(settings(tmp_path))
    await second.start()
    await second.process(chunk)
    one, other = producer.values(ALERTS)
    assert one == other
    assert findings.acked == [0]
    await second.stop()
    await first.stop()


async def test_a_repeated_finding_raises_no_second_alert(role, producer, findings):
    await role.process(findings.chunk(encoded(), encoded()))
    await role.process(findings.chunk(encoded()))
    assert len(producer.values(ALERTS)) == 1
    assert findings.acked == [0, 2]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (None, 1),
        (b"", 1),
        (b"{", 1),
        (b"\xff\xfe", 1),
        (b'{"id": 7}', 1),
        (b"[" * 100_000, 1),
        (encoded(time="soon"), 1),
        (encoded(time="2926-11-22T10:00:00Z"), 1),
        (encoded().replace(b'"high"', b'"enormous"'), 1),
    ],
    ids=[
        "none",
        "empty",
        "torn",
        "binary",
        "foreign",
        "deep",
        "no time",
        "far ahead",
        "bad severity",
    ],
)
async def test_a_bad_finding_is_dead_lettered_and_the_next_one_counts(
    role, producer, findings, value, count
):
    await role.process(findings.chunk(value, encoded()))
    assert producer.values(dlq(FINDINGS)) == [value] * count
    assert len(producer.values(ALERTS)) == 1
    assert findings.acked == [0]


async def test_an_ended_verdict_becomes_a_tombstone(role, producer, findings):
    await role.process(findings.chunk(encoded(id="1", time="2026-11-22T10:00:00Z")))
    later = encoded(
        id="2", time="2026-11-22T12:00:00Z", subject=Subject(type="client", ids=("u1_other",))
    )
    await role.process(findings.chunk(later))
    tombstones = [key for topic, key, value in producer.sent if topic == VERDICTS and not value]
    assert tombstones == [b"u1_mallory"]


async def test_a_failed_webhook_task_stops_the_worker(role, findings):
    told = []

    async def fail():
        raise Fatal("the broker refused the consumer")

    role._background._on_fatal = told.append
    role._background.spawn(fail(), name="webhook")
    await asyncio.sleep(0.01)
    assert [str(item) for item in told] == ["the broker refused the consumer"]
    with pytest.raises(Fatal):
        await role.process(findings.chunk(encoded()))
    assert findings.acked == []
    role._background._failure = None


async def test_open_incidents_and_silences_survive_a_restart(
    producer, findings, tmp_path, monkeypatch
):
    monkeypatch.setattr(respond, "load_verdicts", no_verdicts)
    monkeypatch.setattr(respond, "end_offsets", far_ends)
    owned = OWNED
    first = respond.make(settings(tmp_path))
    await first.start()
    await first.process(findings.chunk(encoded()))
    await first.stop()
    second = respond.make(settings(tmp_path))
    await second.start()
    await second.assigned(owned)
    (incident,) = second._responder.incidents.open.values()
    assert incident.findings == 1
    again = findings.chunk(encoded(id="another", severity="critical"))
    await second.process(again)
    await second.stop()
    alerts = [msgspec.json.decode(value, type=Alert) for value in producer.values(ALERTS)]
    assert [alert.reason for alert in alerts] == ["opened", "severity_rose"]
    assert len({alert.incident for alert in alerts}) == 1


async def test_what_a_snapshot_covers_is_not_taken_twice(producer, findings, tmp_path, monkeypatch):
    monkeypatch.setattr(respond, "load_verdicts", no_verdicts)
    monkeypatch.setattr(respond, "end_offsets", far_ends)
    chunk = findings.chunk(encoded())
    for _ in range(2):
        role = respond.make(settings(tmp_path))
        await role.start()
        await role.assigned(OWNED)
        await role.process(chunk)
        await role.stop()
    assert len(producer.values(ALERTS)) == 1
    assert findings.acked == [0, 0]


async def no_verdicts(book, kafka): ...


async def far_ends(kafka, topics):
    return {f"{topic}-0": 1000 for topic in topics}


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    producer, findings, tmp_path, monkeypatch
):
    monkeypatch.setattr(respond, "load_verdicts", no_verdicts)
    monkeypatch.setattr(respond, "end_offsets", empty_topics)
    first = respond.make(settings(tmp_path))
    await first.start()
    await first.process(findings.chunk(encoded(id="1"), encoded(id="2")))
    await first.stop()
    second = respond.make(settings(tmp_path))
    await second.start()
    await second.assigned(OWNED)
    await second.process(Acks(FINDINGS).chunk(encoded(id="3", model="another")))
    await second.stop()
    assert len(producer.values(ALERTS)) == 2


async def empty_topics(kafka, topics):
    return {f"{topic}-0": 0 for topic in topics}


async def test_findings_and_feedback_must_not_come_apart(producer, tmp_path):
    role = respond.make(settings(tmp_path))
    with pytest.raises(Fatal, match="did not come together"):
        await role.assigned({Partition(FINDINGS, 0)})


async def test_a_worker_in_reserve_does_no_duty_until_it_owns_the_findings(
    producer, tmp_path, monkeypatch
):
    monkeypatch.setattr(respond, "load_verdicts", no_verdicts)
    role = respond.make(settings(tmp_path))
    running = []

    async def run():
        running.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            running.pop()

    role._deliveries = {"hook": SimpleNamespace(run=run)}
    monkeypatch.setattr(role._watcher, "start", lambda _: None)
    await role.start()
    await role.assigned(set())
    await asyncio.sleep(0)
    assert not running
    await role.assigned(OWNED)
    await role.assigned(OWNED)
    await asyncio.sleep(0)
    assert running == [True]
    await role.release(OWNED)
    assert not running
    await role.assigned(OWNED)
    await asyncio.sleep(0)
    assert running == [True]
    await role.stop()
    assert not running


async def test_a_person_lifts_a_verdict_and_later_findings_do_not_bring_it_back(
    role, producer, findings
):
    feedback = Acks(FEEDBACK)
    lift = Feedback(
        id="1",
        verb="lift",
        target="u1_mallory",
        author="ann",
        time="2026-11-22T10:01:00Z",
        until="2026-11-23T10:00:00Z",
    )
    await role.process(findings.chunk(encoded()))
    await role.process(feedback.chunk(msgspec.json.encode(lift), b"no feedback"))
    await role.process(findings.chunk(encoded(id="more", time="2026-11-22T10:02:00Z")))
    actions = [msgspec.json.decode(value)["action"] for value in producer.values(VERDICTS)]
    assert actions == ["challenge", "allow"]
    assert producer.values(dlq(FEEDBACK)) == [b"no feedback"]


async def test_a_false_positive_ends_the_incident_and_takes_its_verdict_back(
    role, producer, findings
):
    await role.process(findings.chunk(encoded()))
    opened = msgspec.json.decode(producer.values(ALERTS)[0], type=Alert)
    wrong = Feedback(
        id="1",
        verb="false_positive",
        target=opened.incident,
        client="u1_mallory",
        author="ann",
        time="2026-11-22T10:01:00Z",
    )
    await role.process(Acks(FEEDBACK).chunk(msgspec.json.encode(wrong)))
    ended = msgspec.json.decode(producer.values(ALERTS)[-1], type=Alert)
    assert (ended.incident, ended.state) == (opened.incident, "resolved")
    assert ended.reason == "false_positive"
    assert producer.values(VERDICTS)[-1] is None


def test_a_wrong_webhook_stops_the_worker_before_it_starts(producer, tmp_path):
    webhook = WebhookSettings(
        name="hook", url=SecretStr("http://example.org/SECRET"), secret=SecretStr("whsec_SECRET")
    )
    with pytest.raises(ConfigError, match="webhook hook") as caught:
        respond.make(settings(tmp_path, webhooks=(webhook,)))
    assert "SECRET" not in str(caught.value)
