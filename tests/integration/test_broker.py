"""The embedded broker and its topics, with a real Kafka."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from config.errors import ConfigError
from config.settings import KafkaSettings, Settings
from streams import broker as embedded
from streams.admin import Change, apply_topics, check_topics
from streams.broker.errors import BrokerError
from streams.broker.ports import free_port
from streams.topics import FINDINGS, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka


def test_topics_that_are_right_are_left_alone(settings: Settings) -> None:
    assert apply_topics(settings) == []
    assert check_topics(settings) == []


def test_a_topic_that_drifted_is_seen_and_put_right(settings: Settings) -> None:
    _alter(settings, FINDINGS, "retention.ms", "1000")

    seen = _await_difference(settings)
    done = apply_topics(settings)

    assert [change.topic for change in seen] == [FINDINGS]
    assert "1000" in str(seen[0])
    assert done == seen
    assert check_topics(settings) == []


def test_a_topic_is_never_repartitioned(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="VEDETTE_PARTITIONS=4"):
        apply_topics(settings.model_copy(update={"partitions": 2}))
    assert check_topics(settings) == []


def test_a_broker_that_answers_is_not_started_again(settings: Settings) -> None:
    assert embedded.ensure_running(settings) == settings.kafka.bootstrap_servers
    assert embedded.status(settings).pid is None


@pytest.mark.slow
def test_data_outlives_a_killed_broker_and_a_stopped_one(own: Settings) -> None:
    embedded.start(own)
    created = apply_topics(own)
    pid = embedded.status(own).pid
    assert any(change.topic == INTERACTIONS for change in created)
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    while embedded.status(own).pid is not None:
        time.sleep(0.05)
    embedded.start(own)

    assert embedded.status(own).ready
    assert check_topics(own) == []
    assert embedded.stop(own)
    assert not embedded.status(own).ready
    assert not embedded.stop(own)


def test_a_foreign_broker_that_is_away_is_named(tmp_path: Path) -> None:
    away = Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers="192.0.2.1:9"))
    with pytest.raises(BrokerError, match=r"192\.0\.2\.1:9"):
        embedded.ensure_running(away)


@pytest.fixture
def own(broker: str, tmp_path: Path) -> Iterator[Settings]:
    """Return settings of a broker for this test alone, stopped afterwards."""
    servers = f"127.0.0.1:{free_port()}"
    settings = Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers=servers))
    yield settings
    embedded.stop(settings)


def _await_difference(settings: Settings) -> list[Change]:
    """Check until the broker, whose metadata trails the controller's, shows a difference."""
    deadline = time.monotonic() + 15
    while not (seen := check_topics(settings)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def _alter(settings: Settings, topic: str, name: str, value: str) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: value})])
    client.close()
