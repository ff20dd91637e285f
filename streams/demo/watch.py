"""The watch itself: a home of its own, its broker, and `vedette up` in a child process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError

from config.errors import ConfigError, Fatal
from config.settings import ENV_PREFIX, KafkaSettings, ServeSettings, Settings
from kafka import KafkaAdminClient, OffsetSpec
from streams import broker
from streams.admin import apply_topics
from streams.broker.ports import LOOPBACK, free_port
from streams.kafka import admin_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLES = ("ingest", "serve", "detect", "respond", "index")
#: A home without it was not made by the demo, and is never emptied.
MARKER = ".vedette-demo"
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 70.0
POLL_S = 0.5


def fresh_home(home: Path, model: str) -> Settings:
    """Empty the home of an earlier demo and return settings for a new one.

    Raises
    ------
    ConfigError
        If the directory holds something else.
    """
    home = home.absolute()
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).exists():
            raise ConfigError(f"{home} was not made by the demo; choose another --home")
        broker.stop(Settings(home=home))
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / MARKER).touch()
    servers = f"{LOOPBACK}:{free_port()}"
    return Settings(
        home=home,
        kafka=KafkaSettings(bootstrap_servers=servers),
        serve=ServeSettings(model=model),
    )


@contextmanager
def running_broker(settings: Settings, *, keep: bool) -> Iterator[None]:
    """Run the broker with all topics; stop it at the end unless it is to be kept."""
    try:
        broker.ensure_running(settings)
        apply_topics(settings)
        yield
    finally:
        if not keep:
            broker.stop(settings)


@contextmanager
def running_roles(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run `vedette up` with all roles, and stop them at the end."""
    log = settings.home / "up.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed arguments
            [sys.executable, "-m", "streams.cli.main", "up", *ROLES, "--no-broker"],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C reaches the demo alone, which stops them in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment that makes a child process use these settings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)
    }
    return inherited | {
        f"{ENV_PREFIX}HOME": str(settings.home),
        f"{ENV_PREFIX}KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        f"{ENV_PREFIX}SERVE__MODEL": settings.serve.model or "",
        # The last act shows a gateway that obeys.
        f"{ENV_PREFIX}RESPOND__VERDICT_SHADOW": "false",
    }


class Groups:
    """The consumer groups of the roles: whether they are up, and how far behind they are.

    Parameters
    ----------
    settings
        Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self._admin: Any = KafkaAdminClient(**admin_options(settings.kafka))
        self._names = {role: f"vedette-{role}" for role in ROLES}

    def close(self) -> None:
        """Disconnect."""
        self._admin.close()

    def wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until every role has its partitions.

        Raises
        ------
        Fatal
            If the roles end or take too long.
        """
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while missing := self._not_ready():
            if process.poll() is not None:
                raise Fatal(f"the roles ended while they started; see {log}")
            if time.monotonic() > deadline_s:
                raise Fatal(
                    f"{', '.join(missing)} not ready after {READY_TIMEOUT_S:.0f} s; see "
                    f"{log.parent / 'logs'}"
                )
            time.sleep(POLL_S)

    def lag(self) -> dict[str, int]:
        """Return how many records each role has not yet acknowledged."""
        committed = self._admin.list_group_offsets(list(self._names.values()))
        partitions = {partition for offsets in committed.values() for partition in offsets}
        ends = self._admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        return {
            role: sum(
                max(0, ends[partition].offset - offset.offset)
                for partition, offset in committed.get(name, {}).items()
                if partition in ends
            )
            for role, name in self._names.items()
        }

    def _not_ready(self) -> list[str]:
        return [role for role, name in self._names.items() if not self._is_stable(name)]

    def _is_stable(self, name: str) -> bool:
        try:
            described = self._admin.describe_groups([name])
        except KafkaError:
            return False
        return bool(described[name]["group_state"] == "Stable")
