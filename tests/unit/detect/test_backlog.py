"""What waits for the detection thread: taken together, in order, and bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.detect import backlog
from streams.detect.backlog import ENOUGH_ROWS, LINGER_S, Backlog
from streams.roles.base import Chunk, Partition
from tests.unit.detect.chunks import chunk_of
from tests.unit.streams.interactions import interactions

if TYPE_CHECKING:
    import pytest

FIRST, SECOND = Partition("t", 0), Partition("t", 1)


def chunk(source: Partition, offset: int) -> Chunk:
    return chunk_of([b"x" * 100], offset, source, lambda: None)


async def test_chunks_that_came_meanwhile_are_taken_together_and_in_order() -> None:
    waiting = Backlog()
    for offset in range(3):
        await waiting.put(chunk(FIRST, offset), [interactions([{}])])
    await waiting.put(chunk(SECOND, 7), [interactions([{}])])
    source = await waiting.next_due()
    taken = waiting.take(source)
    assert source == FIRST
    assert [item.chunk.records[0].offset for item in taken] == [0, 1, 2]
    assert len(waiting) == 1
    assert waiting.take(FIRST) == []


async def test_few_rows_wait_for_company_but_not_for_long() -> None:
    now = [100.0]
    waiting = Backlog(clock=lambda: now[0])
    await waiting.put(chunk(FIRST, 0), [interactions([{}])])
    due = asyncio.create_task(waiting.next_due())
    await asyncio.sleep(0)
    assert not due.done()
    now[0] += LINGER_S
    assert await asyncio.wait_for(due, 5) == FIRST


async def test_enough_rows_wait_for_nothing() -> None:
    waiting = Backlog(clock=lambda: 100.0)
    await waiting.put(chunk(FIRST, 0), [interactions([{}])])
    await waiting.put(chunk(SECOND, 0), [interactions([{}] * ENOUGH_ROWS)])
    assert await asyncio.wait_for(waiting.next_due(), 5) == SECOND


async def test_who_brings_chunks_waits_while_too_much_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = interactions([{}])
    monkeypatch.setattr(backlog, "MAX_WAITING_BYTES", frame.nbytes)
    waiting = Backlog()
    await waiting.put(chunk(FIRST, 0), [frame])
    full = asyncio.create_task(waiting.put(chunk(FIRST, 1), [frame]))
    await asyncio.sleep(0.01)
    assert not full.done()
    waiting.take(FIRST)
    await asyncio.wait_for(full, 5)


async def test_nobody_waits_for_room_in_a_closed_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MAX_WAITING_BYTES", -1)
    waiting = Backlog()
    full = asyncio.create_task(waiting.put(chunk(FIRST, 0), []))
    await asyncio.sleep(0.01)
    waiting.close()
    await asyncio.wait_for(full, 5)
