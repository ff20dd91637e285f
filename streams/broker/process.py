"""The Java process of the broker: start it, find it again, stop it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from typing import TYPE_CHECKING

import psutil

from streams.broker.errors import BrokerError

if TYPE_CHECKING:
    from pathlib import Path

    from streams.broker.layout import Layout

#: A laptop's share: the default heap is 1 GiB, and G1 wants more threads than there are cores.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
_STOP_TIMEOUT_S = 30.0
_LOG_TAIL_LINES = 5


def cluster_id() -> str:
    """Draw an id for a cluster; as in Kafka, none that a command would take for an option."""
    while True:
        drawn = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not drawn.startswith("-"):
            return drawn


def format_storage(java: Path, jars: Path, layout: Layout) -> None:
    """Prepare an empty data directory; does nothing on one that was used before.

    Raises
    ------
    BrokerError
        If Kafka refuses.
    """
    if layout.meta.is_file():
        return
    command = [
        *_java_command(java, jars, layout, "kafka.tools.StorageTool"),
        *("format", "-t", cluster_id(), "-c", str(layout.properties)),
    ]
    done = subprocess.run(  # noqa: S603 - our own Java and jars
        command, env=_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise BrokerError(f"Kafka could not format {layout.data}: {_last_line(done.stderr)}")


def spawn(java: Path, jars: Path, layout: Layout) -> psutil.Process:
    """Start the broker in a session of its own and remember which process it is."""
    command = [*_java_command(java, jars, layout, "kafka.Kafka"), str(layout.properties)]
    with layout.output.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own Java and jars
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C meant for the program that started the broker must not reach the broker.
            start_new_session=True,
            cwd=layout.root,
        )
    # The broker is meant to outlive this object, so Popen must not warn of it; psutil reaps it.
    child.returncode = 0
    process = psutil.Process(child.pid)
    layout.pid.write_text(
        json.dumps({"pid": child.pid, "created": process.create_time()}), encoding="utf-8"
    )
    return process


def running(layout: Layout) -> psutil.Process | None:
    """Return the broker's process, or None; a stale pid file is removed.

    The creation time is compared as well: after a reboot the number may be somebody else's.
    """
    try:
        noted = json.loads(layout.pid.read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        if process.create_time() == noted["created"] and is_alive(process):
            return process
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, psutil.Error):
        pass
    layout.pid.unlink(missing_ok=True)
    return None


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the process runs; one that ended and was not waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def terminate(process: psutil.Process, layout: Layout) -> None:
    """Ask the broker to stop and wait for it; after 30 s it is killed.

    A killed broker loses nothing that it acknowledged, it only starts more slowly.
    """
    try:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        pass
    layout.pid.unlink(missing_ok=True)


def log_tail(layout: Layout) -> str:
    """Return the last lines of the broker's log, or of its console if it did not get that far."""
    for path in (layout.log, layout.output):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            if lines:
                return "\n".join(lines[-_LOG_TAIL_LINES:])
    return "(it logged nothing)"


def _java_command(java: Path, jars: Path, layout: Layout, main_class: str) -> list[str]:
    return [
        *(str(java), *_JVM, f"-Dlog4j2.configurationFile={layout.log4j.as_uri()}"),
        *("-cp", f"{jars}{os.sep}*", main_class),
    ]


def _environment() -> dict[str, str]:
    """Hand over no more than Java needs: our own environment may hold secrets."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "TZ")
    return {name: os.environ[name] for name in keep if name in os.environ}


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
