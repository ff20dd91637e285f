"""The supervisor with real child processes: restarts, clean stops, no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

from config.settings import Settings
from streams import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

SLEEPER = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(60)"


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def test_backoff_doubles_and_a_stable_minute_resets_it() -> None:
    now = [0.0]
    backoff = supervisor.Backoff(clock=lambda: now[0], jitter=lambda: 1.0)
    backoff.started()
    assert [backoff.failed(), backoff.failed(), backoff.failed()] == [0.5, 1.0, 2.0]
    now[0] += supervisor.STABLE_S
    assert backoff.failed() == 0.5


def test_backoff_gives_up_on_a_role_that_keeps_falling() -> None:
    backoff = supervisor.Backoff(clock=lambda: 1.0, jitter=lambda: 1.0)
    delays = [backoff.failed() for _ in range(supervisor.GIVE_UP_RESTARTS + 1)]
    assert delays[-1] is None
    assert None not in delays[:-1]


def test_a_role_that_keeps_falling_ends_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(supervisor, "GIVE_UP_RESTARTS", 2)
    monkeypatch.setattr(supervisor, "_command", lambda _: [sys.executable, "-c", "print(1); 1/0"])
    assert supervisor.supervise(["detect"], Settings(home=tmp_path)) == 1
    assert (tmp_path / "logs" / "detect.log").read_text().count("ZeroDivisionError") == 3


def test_one_signal_stops_every_role_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_command", lambda _: [sys.executable, "-c", SLEEPER])
    others = set(psutil.Process().children())  # the broker of other tests, for one
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert supervisor.supervise(["ingest", "detect"], Settings(home=tmp_path)) == 0
    assert set(psutil.Process().children()) <= others


def test_a_killed_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from streams import supervisor;"
        "from config.settings import Settings;"
        f"supervisor._command = lambda _: [sys.executable, '-c', {SLEEPER!r}];"
        "supervisor.supervise(['ingest', 'detect'], Settings(home=Path(sys.argv[1])))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path], stderr=subprocess.DEVNULL)
    process = psutil.Process(parent.pid)
    until(lambda: len(process.children()) == 2)
    children = process.children()
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert len(gone) == 2
