"""How much may wait at once: what is over the bound is told to come back, not queued."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gate:
    """Counts requests and bytes that are being read or wait for Kafka.

    Parameters
    ----------
    max_requests, max_bytes
        Bounds of both together.
    """

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.waiting_bytes = 0

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator[bool]:
        """Hold room for a request; False if there is none."""
        full = (
            self.requests >= self._max_requests or self.waiting_bytes + size_bytes > self._max_bytes
        )
        if full:
            yield False
            return
        self.requests += 1
        self.waiting_bytes += size_bytes
        try:
            yield True
        finally:
            self.requests -= 1
            self.waiting_bytes -= size_bytes
