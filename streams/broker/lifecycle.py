"""Start, find and stop the embedded broker of one home directory."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.broker import jars, java, ports, process
from streams.broker.errors import BrokerError
from streams.broker.layout import Layout, write_configuration
from streams.broker.probe import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from config.settings import Settings

_START_TIMEOUT_S = 90.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the broker without changing anything."""

    bootstrap_servers: str
    embedded: bool
    pid: int | None
    ready: bool
    directory: str
    log: str


def ensure_running(settings: Settings) -> str:
    """Return the bootstrap servers of a broker that answers, starting ours if need be.

    Raises
    ------
    BrokerError
        If the broker named in the settings is not ours and does not answer, or ours does not
        start.
    """
    servers = settings.kafka.bootstrap_servers
    if ports.is_embedded(servers):
        return start(settings)
    if not answers(settings.kafka):
        raise BrokerError(
            f"No Kafka broker answers at {servers} (VEDETTE_KAFKA__BOOTSTRAP_SERVERS)."
        )
    return servers


def start(settings: Settings) -> str:
    """Start the embedded broker, or find the one that runs, and return its address.

    Returns when an admin metadata call succeeds.

    Raises
    ------
    BrokerError
        If Java or the jars are missing, the port is taken, or the broker does not come up.
    """
    layout = _layout(settings)
    host, port = ports.split_address(settings.kafka.bootstrap_servers)
    for directory in (layout.data, layout.log.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(layout):
        broker = process.running(layout)
        if broker is None:
            if ports.is_open(port):
                return _adopt(settings)
            broker = _launch(layout, host, port)
        _await_ready(settings, layout, broker, port)
    return settings.kafka.bootstrap_servers


def stop(settings: Settings) -> bool:
    """Stop the embedded broker of this home; False if it was not running."""
    layout = _layout(settings)
    if not layout.root.is_dir():
        return False
    with _locked(layout):
        broker = process.running(layout)
        if broker is not None:
            process.terminate(broker, layout)
    return broker is not None


def status(settings: Settings) -> Status:
    """Tell what runs."""
    layout = _layout(settings)
    servers = settings.kafka.bootstrap_servers
    broker = process.running(layout)
    return Status(
        bootstrap_servers=servers,
        embedded=ports.is_embedded(servers),
        pid=None if broker is None else broker.pid,
        ready=_reachable(settings) and answers(settings.kafka),
        directory=str(layout.root),
        log=str(layout.log),
    )


def _layout(settings: Settings) -> Layout:
    return Layout((settings.home / "kafka").absolute())


def _reachable(settings: Settings) -> bool:
    servers = settings.kafka.bootstrap_servers
    return not ports.is_embedded(servers) or ports.is_open(ports.split_address(servers)[1])


def _adopt(settings: Settings) -> str:
    """Use the Kafka broker that somebody else runs on our port, if it is one."""
    servers = settings.kafka.bootstrap_servers
    if answers(settings.kafka):
        return servers
    raise BrokerError(
        f"{servers} is taken by a program that is not Kafka; choose another port with "
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:PORT."
    )


def _launch(layout: Layout, host: str, port: int) -> psutil.Process:
    java_path = java.find_java()
    jar_directory = jars.ensure_jars()
    write_configuration(layout, host=host, port=port, controller_port=_controller_port(layout))
    process.format_storage(java_path, jar_directory, layout)
    return process.spawn(java_path, jar_directory, layout)


def _controller_port(layout: Layout) -> int:
    """Keep the port of the last start, unless somebody else took it."""
    try:
        kept = int(layout.controller_port.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        kept = 0
    if not kept or ports.is_open(kept):
        kept = ports.free_port()
        layout.controller_port.write_text(str(kept), encoding="ascii")
    return kept


def _await_ready(settings: Settings, layout: Layout, broker: psutil.Process, port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if not process.is_alive(broker):
            layout.pid.unlink(missing_ok=True)
            raise BrokerError(
                f"Kafka ended while it started; {layout.log} says:\n{process.log_tail(layout)}\n"
            )
        # The port opens before the broker can answer, and before that the client only makes noise.
        if ports.is_open(port) and answers(settings.kafka):
            return
        time.sleep(_POLL_S)
    process.terminate(broker, layout)
    raise BrokerError(f"Kafka was not ready after {_START_TIMEOUT_S:.0f} s; see {layout.log}.")


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """Let one process at a time start or stop the broker of a home."""
    with layout.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
