"""How many bulk requests may be under way: up slowly, down by half (AIMD)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class InFlight:
    """A semaphore whose size follows what the server takes.

    Parameters
    ----------
    most
        Upper bound of requests under way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(min(2, most))
        self._under_way = 0
        self._changed = asyncio.Condition()

    @property
    def size(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self._size))

    def grow(self) -> None:
        """Take a success into account: one more request after ``size`` of them."""
        self._size = min(float(self._most), self._size + 1 / max(1.0, self._size))

    def halve(self) -> None:
        """Take a refusal for overload into account."""
        self._size = max(1.0, self._size / 2)

    async def __aenter__(self) -> Self:
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < self.size)
            self._under_way += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._under_way -= 1
        async with self._changed:
            self._changed.notify_all()
