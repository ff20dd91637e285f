"""Programs of others, run on loopback while a test lasts."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def running(command: Sequence[str], ready: str) -> Iterator[None]:
    """Run a program from when it answers at the URL ``ready``."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                get(ready)
                break
            assert process.poll() is None, "it stopped by itself"
            assert time.monotonic() < deadline_s, "it did not start"
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)


def get(url: str) -> bytes:
    """Return the answer to a GET of our own loopback."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
        data: bytes = answer.read()
        return data
