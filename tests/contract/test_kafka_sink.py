"""What the topic for other systems owes: OCSF that holds together, outcomes by error."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from aiokafka import errors

from config.respond import KafkaSinkSettings
from config.settings import KafkaSettings
from streams.notify import kafka_sink
from streams.notify.base import Delivered, Permanent, RetryLater
from streams.notify.kafka_sink import KafkaNotifier, ocsf_finding, outcome_of_error
from tests.contract.notifiers import huge
from tests.unit.respond.fakes import FakeProducer
from tests.unit.respond.samples import alert

GOLDEN = Path(__file__).parent / "golden" / "ocsf.json"


@pytest.fixture
def producer(monkeypatch):
    made = FakeProducer()
    monkeypatch.setattr(kafka_sink, "Producer", lambda _: made)
    return made


def notifier(**changes):
    fields = {"type": "kafka", "name": "contract", "topic": "soc.findings.v1", **changes}
    return KafkaNotifier(KafkaSinkSettings(**fields), KafkaSettings())


async def test_an_alert_becomes_the_golden_detection_finding(producer):
    assert await notifier().notify(alert()) == Delivered()
    ((topic, key, value),) = producer.sent
    assert (topic, key) == ("soc.findings.v1", alert().incident.encode())
    assert msgspec.json.format(value) == GOLDEN.read_bytes().rstrip()


@pytest.mark.parametrize(("state", "activity"), [("opened", 1), ("escalated", 2), ("resolved", 3)])
def test_activity_and_type_follow_the_incident(state, activity):
    found = ocsf_finding(msgspec.structs.replace(alert(), state=state))
    assert (found["activity_id"], found["type_uid"]) == (activity, 200400 + activity)
    assert found["finding_info"]["uid"] == alert().incident


async def test_an_alert_may_travel_as_it_is(producer):
    await notifier(format="alert").notify(alert())
    assert msgspec.json.decode(producer.sent[0][2])["id"] == alert().id


async def test_a_huge_alert_is_taken(producer):
    assert await notifier().notify(huge()) == Delivered()
    assert len(producer.sent[0][2]) <= kafka_sink.MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.MessageSizeTooLargeError(), Permanent("refused_payload")),
        (errors.RecordTooLargeError(), Permanent("refused_payload")),
        (errors.KafkaTimeoutError(), RetryLater("timeout")),
        (errors.KafkaConnectionError(), RetryLater("connection")),
        (errors.NotLeaderForPartitionError(), RetryLater("server_error")),
        (errors.TopicAuthorizationFailedError(), RetryLater("client_error")),
    ],
)
def test_every_refusal_has_its_outcome(error, outcome):
    assert outcome_of_error(error) == outcome


async def test_a_broker_that_is_not_there_is_tried_again(monkeypatch):
    class Absent(FakeProducer):
        async def start(self):
            raise errors.KafkaConnectionError

    monkeypatch.setattr(kafka_sink, "Producer", lambda _: Absent())
    assert await notifier().notify(alert()) == RetryLater("connection")
