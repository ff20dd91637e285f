"""Runs each role in a child process, and starts it again when it falls."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from config.settings import Settings

log = structlog.get_logger(__name__)

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0
STABLE_S = 60.0
GIVE_UP_RESTARTS = 8
GIVE_UP_WINDOW_S = 300.0
#: Longer than a worker's release and last commit, shorter than a container's patience.
GRACE_S = 60.0
POLL_S = 0.1
MAX_LOG_BYTES = 64 << 20
_PR_SET_PDEATHSIG = 1


@dataclass
class Backoff:
    """Delays between restarts: exponential with jitter, reset by a stable minute."""

    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    _started_s: float = 0.0
    _failures: int = 0
    _restarts: deque[float] = field(default_factory=deque)

    def started(self) -> None:
        """Note that the child runs from now on."""
        self._started_s = self.clock()

    def failed(self) -> float | None:
        """Return the seconds to wait before the next start, None to give up."""
        now = self.clock()
        if now - self._started_s >= STABLE_S:
            self._failures = 0
        self._failures += 1
        self._restarts.append(now)
        while self._restarts and now - self._restarts[0] > GIVE_UP_WINDOW_S:
            self._restarts.popleft()
        if len(self._restarts) > GIVE_UP_RESTARTS:
            return None
        delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (self._failures - 1))
        return delay_s * (0.5 + 0.5 * self.jitter())


@dataclass
class Child:
    """One role: its process while it runs, and when it is due while it does not."""

    role: str
    backoff: Backoff = field(default_factory=Backoff)
    process: subprocess.Popen[bytes] | None = None
    due_s: float = 0.0
    gave_up: bool = False


def supervise(roles: Sequence[str], settings: Settings) -> int:
    """Run one child per role until SIGTERM or SIGINT, or until one keeps failing.

    Logs of the children go to ``logs/<role>.log`` below `Settings.home`.

    Returns
    -------
    int
        0 if all stopped cleanly; 1 if a role was given up, or had to be killed.
    """
    directory = settings.home / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    children = [Child(role) for role in roles]
    with _stop_signals() as stopping:
        try:
            while not stopping and not any(child.gave_up for child in children):
                for child in children:
                    _tend(child, directory)
                time.sleep(POLL_S)
        finally:
            clean = _stop(children)
    for child in children:
        if child.gave_up:
            log.critical(
                "a role was given up after too many restarts",
                role=child.role,
                log=str(directory / f"{child.role}.log"),
            )
    return 0 if clean and not any(child.gave_up for child in children) else 1


def _tend(child: Child, directory: Path) -> None:
    """Start the child if it is due, and plan the next start if it has ended."""
    if child.process is None:
        if time.monotonic() >= child.due_s:
            child.process = _start(child.role, directory)
            child.backoff.started()
            log.info("role started", role=child.role, pid=child.process.pid)
        return
    code = child.process.poll()
    if code is None:
        return
    child.process = None
    delay_s = child.backoff.failed()
    if delay_s is None:
        child.gave_up = True
        return
    child.due_s = time.monotonic() + delay_s
    log.warning("role ended", role=child.role, exit_code=code, restart_in_s=round(delay_s, 2))


def _start(role: str, directory: Path) -> subprocess.Popen[bytes]:
    with _open_log(directory / f"{role}.log") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and a known role
            _command(role),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Of its own group: Ctrl-C reaches the supervisor alone, which stops them in order.
            start_new_session=True,
            preexec_fn=_DieWithParent(),  # noqa: PLW1509 - the supervisor has one thread
        )


def _command(role: str) -> list[str]:
    return [sys.executable, "-m", "streams.cli.main", "run", role]


def _open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; one that has grown large becomes ``.1`` first."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


class _DieWithParent:
    """Asks the kernel to end the child when the supervisor dies, even by SIGKILL."""

    def __init__(self) -> None:
        self._parent = os.getpid()
        # Loaded before the fork: after it nothing should allocate more than it must.
        self._prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def __call__(self) -> None:
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != self._parent:  # it died between fork and prctl
                os._exit(1)


def _stop(children: Sequence[Child]) -> bool:
    """Stop all children at once; True if every one ended by itself with exit code 0."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline_s = time.monotonic() + GRACE_S
    clean = True
    for process in running:
        try:
            code = process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a role did not stop in time and is killed", pid=process.pid)
            process.kill()
            code = process.wait()
        # Minus SIGTERM: it had not yet begun, and died before its handler was in place.
        clean = clean and code in (0, -signal.SIGTERM)
    return clean


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the yielded list, and restore the handlers after."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda n, _frame: received.append(n)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
