"""Bring the topics of the broker to what `streams.topics` declares."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from config.errors import ConfigError, Transient
from streams.kafka import admin_options
from streams.topics import TOPICS, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.settings import Settings

_TIMEOUT_MS = 30_000
_EFFECT_TIMEOUT_S = 15.0


class Change(NamedTuple):
    """One difference between a topic as it is and as it should be."""

    topic: str
    what: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}"


class Found(NamedTuple):
    """A topic as the broker has it."""

    partitions: int
    config: dict[str, str]


def check_topics(settings: Settings) -> list[Change]:
    """Return what `apply_topics` would change, changing nothing.

    Raises
    ------
    ConfigError
        If a topic has another number of partitions than the settings want.
    Transient
        If the broker does not answer.
    """
    with _admin(settings) as client:
        return _plan(settings, _describe(client, [spec.name for spec in TOPICS]))


def apply_topics(settings: Settings) -> list[Change]:
    """Create the missing topics, correct the settings of the others, return what was done.

    The number of partitions of a topic is never changed: clients would move to other
    partitions, away from their state.

    Raises
    ------
    ConfigError
        If a topic has another number of partitions than the settings want.
    Transient
        If the broker does not answer or refuses.
    """
    with _admin(settings) as client:
        found = _describe(client, [spec.name for spec in TOPICS])
        changes = _plan(settings, found)
        missing = [spec for spec in TOPICS if spec.name not in found]
        differing = [spec for spec in TOPICS if spec.name in found]
        _create(client, settings, missing)
        _correct(client, found, differing)
        if changes:
            _await_effect(client, settings)
    return changes


def _await_effect(client: Any, settings: Settings) -> None:
    """Wait until the broker shows the changes: its metadata trails the controller's a little."""
    deadline = time.monotonic() + _EFFECT_TIMEOUT_S
    while _plan(settings, _describe(client, [spec.name for spec in TOPICS])):
        if time.monotonic() > deadline:
            raise Transient("the broker took the topics' settings but does not show them")
        time.sleep(0.05)


def wanted_partitions(settings: Settings, spec: TopicSpec) -> int:
    """Return how many partitions a topic should have."""
    return spec.partitions or settings.partitions


def _plan(settings: Settings, found: dict[str, Found]) -> list[Change]:
    changes: list[Change] = []
    for spec in TOPICS:
        if spec.name not in found:
            changes.append(
                Change(spec.name, f"created with {wanted_partitions(settings, spec)} partitions")
            )
            continue
        _refuse_repartition(settings, spec, found[spec.name])
        changes += [
            Change(spec.name, f"{name} {found[spec.name].config.get(name)} -> {value}")
            for name, value in _difference(spec, found[spec.name]).items()
        ]
    return changes


def _refuse_repartition(settings: Settings, spec: TopicSpec, topic: Found) -> None:
    wanted = wanted_partitions(settings, spec)
    if topic.partitions != wanted:
        remedy = (
            f"set VEDETTE_PARTITIONS={topic.partitions}"
            if spec.partitions is None
            else f"create it with {wanted}"
        )
        raise ConfigError(
            f"{spec.name} has {topic.partitions} partitions, {wanted} are wanted. Vedette never "
            f"changes the partitions of a topic in use (keys would move): {remedy}, or stop "
            "every role, delete the vedette topics and the state directory, and apply again."
        )


def _difference(spec: TopicSpec, topic: Found) -> dict[str, str]:
    return {name: value for name, value in spec.config.items() if topic.config.get(name) != value}


def _create(client: Any, settings: Settings, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    client.create_topics(
        {
            spec.name: {
                "num_partitions": wanted_partitions(settings, spec),
                "replication_factor": settings.kafka.replication_factor,
                "configs": spec.config,
            }
            for spec in specs
        },
        wait_for_metadata=True,
    )


def _correct(client: Any, found: dict[str, Found], specs: Sequence[TopicSpec]) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - slow to import

    resources = [
        ConfigResource(ConfigResourceType.TOPIC, spec.name, configs=different)
        for spec in specs
        if (different := _difference(spec, found[spec.name]))
    ]
    if not resources:
        return
    results = client.alter_configs(resources)["topic"]
    refused = sorted(name for name, result in results.items() if result != "OK")
    if refused:
        raise Transient(f"the broker refused the settings of {', '.join(refused)}")


def _describe(client: Any, names: Sequence[str]) -> dict[str, Found]:
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - slow to import

    wanted = set(names)
    partitions = {
        topic["name"]: len(topic["partitions"])
        for topic in client.describe_topics()
        if topic["name"] in wanted
    }
    if not partitions:
        return {}
    configs = client.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions],
        config_filter="all",
    )["topic"]
    return {
        name: Found(count, {key: entry["value"] for key, entry in configs[name].items()})
        for name, count in partitions.items()
    }


@contextmanager
def _admin(settings: Settings) -> Iterator[Any]:
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - slow to import
    from kafka.errors import KafkaError  # noqa: PLC0415

    try:
        client = KafkaAdminClient(
            **admin_options(settings.kafka),
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
        )
        try:
            yield client
        finally:
            client.close()
    except KafkaError as error:
        raise Transient(
            f"the broker at {settings.kafka.bootstrap_servers} did not do as asked "
            f"({type(error).__name__}); is it running? see `vedette broker status`"
        ) from None
