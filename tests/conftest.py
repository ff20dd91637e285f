"""Fixtures that every tier may use."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

from config.settings import KafkaSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A machine that is busy with other things is slow at times; that proves nothing of the code.
hypothesis_settings.register_profile("patient", deadline=5000)
hypothesis_settings.load_profile("patient")

#: What a developer has set in the shell must not change what a test sees.
for _name in [name for name in os.environ if name.startswith("VEDETTE_")]:
    del os.environ[_name]


def pytest_configure(config: pytest.Config) -> None:
    """Excuse kafka-python for two habits that are not ours to change."""
    # It reads its own schemas in a way that Python 3.11 deprecates.
    config.addinivalue_line(
        "filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning"
    )
    # It leaves sockets behind that never got connected, when a broker is still starting.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:unclosed <socket.socket fd=.*laddr=.'0.0.0.0':ResourceWarning",
    )


@contextmanager
def running_broker(home: Path) -> Iterator[str]:
    """Run one real Kafka with Vedette's topics of 4 partitions."""
    from streams import broker as embedded
    from streams.admin import apply_topics
    from streams.broker.errors import BrokerError
    from streams.broker.jars import ensure_jars
    from streams.broker.java import find_java
    from streams.broker.ports import free_port

    try:
        find_java()
        ensure_jars()
    except BrokerError as error:
        pytest.skip(str(error))
    settings = Settings(
        home=home, kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    )
    try:
        servers = embedded.start(settings)
        apply_topics(settings)
        yield servers
    finally:
        embedded.stop(settings)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the broker that all tests of a run share."""
    with running_broker(tmp_path_factory.mktemp("broker")) as servers:
        yield servers


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Settings:
    """Return settings with a home of their own and the session's broker."""
    return Settings(home=tmp_path / "home", kafka=KafkaSettings(bootstrap_servers=broker))
