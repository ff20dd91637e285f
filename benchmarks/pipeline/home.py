"""A home of its own for one run: a fresh broker, the profile, nothing of the user's."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.pipeline.rules import write_rules
from config.respond import RespondSettings
from config.settings import DetectSettings, KafkaSettings, Settings
from streams import broker
from streams.admin import apply_topics
from streams.broker.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Roles stand still while their input is prepared; the group must not throw them out meanwhile.
SESSION_TIMEOUT_S = 600.0


@contextmanager
def fresh_home(parent: Path, detect: DetectSettings) -> Iterator[Settings]:
    """Start a broker in a new directory below ``parent``; both are gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=parent)).absolute()
    settings = Settings(
        home=home,
        detect=detect,
        respond=RespondSettings(rules_dir=write_rules(home / "rules")),
        kafka=KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{free_port()}", session_timeout_s=SESSION_TIMEOUT_S
        ),
    )
    try:
        broker.ensure_running(settings)
        apply_topics(settings)
        yield settings
    finally:
        broker.stop(settings)
        shutil.rmtree(home, ignore_errors=True)


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    """Return the environment of a child that runs with ``settings``."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")
    }
    return {
        **inherited,
        "VEDETTE_HOME": str(settings.home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": str(settings.kafka.session_timeout_s),
        "VEDETTE_DETECT__DEVICE": settings.detect.device,
        "VEDETTE_RESPOND__RULES_DIR": str(settings.respond.rules_dir),
        **changes,
    }
