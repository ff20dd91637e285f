"""The real roles as real processes, and the CPU that each spends on a prepared input."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from benchmarks.errors import BenchmarkError
from benchmarks.pipeline.home import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import TopicPartition

    from benchmarks.pipeline.offsets import Offsets
    from config.settings import Settings

_READY_TIMEOUT_S = 120.0
_DONE_TIMEOUT_S = 900.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.1


class RoleProcess:
    """One role in a child process, as ``vedette run`` starts it."""

    def __init__(self, role: str, settings: Settings) -> None:
        self.role = role
        self.group = f"vedette-{role}"
        self._log = settings.home / f"{role}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter, a known role
                [sys.executable, "-m", "streams.cli.main", "run", role],
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._process = psutil.Process(self._child.pid)

    async def ready(self) -> None:
        """Wait until the role has its partitions.

        Raises
        ------
        BenchmarkError
            If it ends before, or takes too long.
        """
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while b"partitions assigned" not in self._log.read_bytes():
            self.check()
            if time.monotonic() > deadline_s:
                raise BenchmarkError(f"{self.role} got no partitions in {_READY_TIMEOUT_S:.0f} s")
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(5 * _POLL_S)  # what follows the assignment is not to be measured

    def check(self) -> None:
        """Raise if the process has ended."""
        if self._child.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{self.role} ended with {self._child.returncode}:\n{tail}")

    def hold(self) -> None:
        """Let the process stand still."""
        self._child.send_signal(signal.SIGSTOP)

    def go(self) -> None:
        """Let the process go on."""
        self._child.send_signal(signal.SIGCONT)

    @property
    def cpu_s(self) -> float:
        """CPU that all threads of the process have spent."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End the process, kindly at first."""
        if self._child.poll() is None:
            self.go()
            self._child.terminate()
        try:
            self._child.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


async def consume_all(
    role: RoleProcess, offsets: Offsets, topic: str, progress: Callable[[float], None]
) -> float:
    """Let a held role work off ``topic``; return the CPU seconds until all is committed.

    Raises
    ------
    BenchmarkError
        If the role ends, or does not get there.
    """
    ends = await offsets.ends(topic)
    total = await offsets.lag(role.group, ends)
    if not total:
        raise BenchmarkError(f"{topic} holds nothing new for {role.role}")
    before_s = role.cpu_s
    role.go()
    await _until_done(role, offsets, ends, lambda lag: progress(1 - lag / total))
    return role.cpu_s - before_s


async def caught_up(role: RoleProcess, offsets: Offsets, topic: str) -> None:
    """Wait until the role has committed all that ``topic`` holds now.

    Raises
    ------
    BenchmarkError
        If the role ends, or does not get there.
    """
    await _until_done(role, offsets, await offsets.ends(topic), lambda _lag: None)


async def _until_done(
    role: RoleProcess,
    offsets: Offsets,
    ends: dict[TopicPartition, int],
    progress: Callable[[int], None],
) -> None:
    deadline_s = time.monotonic() + _DONE_TIMEOUT_S
    while lag := await offsets.lag(role.group, ends):
        role.check()
        if time.monotonic() > deadline_s:
            raise BenchmarkError(f"{role.role} still has {lag} records to do")
        progress(lag)
        await asyncio.sleep(_POLL_S)
    progress(0)
