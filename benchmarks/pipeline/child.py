"""Measurements that need a process of their own print one line of JSON."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.pipeline.home import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings


class Message(msgspec.Struct):
    """A line of a child: how far it is, or what it has measured."""

    done: float = 0.0
    result: dict[str, float] | None = None


def tell(message: Message) -> None:
    """Print a message for `measure`."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def measure(
    module: str, arguments: list[str], settings: Settings, progress: Callable[[float], None]
) -> dict[str, float]:
    """Run a module of this package and return what it measured.

    Raises
    ------
    BenchmarkError
        If it ends without a result.
    """
    log = settings.home / f"{module}.log"
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"benchmarks.pipeline.{module}", *arguments),
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        return await _result(child, progress)
    except BenchmarkError:
        raise BenchmarkError(f"{module}: {log.read_text(errors='replace')[-2000:]}") from None
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _result(
    child: asyncio.subprocess.Process, progress: Callable[[float], None]
) -> dict[str, float]:
    if child.stdout is None:
        raise BenchmarkError("the child has no output")
    decode = msgspec.json.Decoder(Message).decode
    async for line in child.stdout:
        if not line.startswith(b"{"):
            continue  # a library's greeting
        message = decode(line)
        progress(message.done)
        if message.result is not None:
            return message.result
    raise BenchmarkError("the child ended without a result")
