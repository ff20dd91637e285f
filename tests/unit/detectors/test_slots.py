"""Slots are capped; the client that was silent longest goes first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from detectors.slots import BLOCK_ROWS, ClientSlots
from detectors.suite import Suite
from detectors.tables import pack_texts, unpack_texts
from detectors.testing import World, cut_into

WORLD = World.make(seed=2)


def crowd(names: list[int]) -> list:
    client = np.array(names, np.int32)
    sketch = np.zeros((len(names), 49), np.uint8)
    return cut_into(WORLD.batch(sketch, client), BLOCK_ROWS)


def test_the_least_recently_seen_are_evicted_at_a_block_boundary() -> None:
    slots = ClientSlots(2 * BLOCK_ROWS)
    for batch in crowd([*range(BLOCK_ROWS), 0, *range(BLOCK_ROWS, 2 * BLOCK_ROWS - 1)]):
        slots.assign(batch)
    assert slots.clients == 2 * BLOCK_ROWS - 1
    evicted = {slots.name(slot) for slot in slots.make_room()}
    assert len(evicted) == BLOCK_ROWS - 1
    assert "client-0" not in evicted
    assert "client-1" in evicted


def test_a_suite_counts_whom_it_forgets_and_what_its_detectors_take() -> None:
    ticks = itertools.count()
    suite = Suite(
        "m",
        None,
        run_length_events=60_000,
        max_clients=2 * BLOCK_ROWS,
        lateness_us=0,
        detectors=("traffic.burst",),
        clock=lambda: float(next(ticks)),
    )
    for batch in crowd([*range(4 * BLOCK_ROWS)]):
        suite.observe(batch)
    assert suite.evicted == 2 * BLOCK_ROWS
    assert suite.state_keys == {"traffic.burst": 2 * BLOCK_ROWS}
    assert suite.busy_s == {"traffic.burst": 4.0}


def test_restored_slots_know_their_clients() -> None:
    slots, again = ClientSlots(2 * BLOCK_ROWS), ClientSlots(2 * BLOCK_ROWS)
    batches = crowd([5, 3, 5, 9])
    before = slots.assign(batches[0])
    again.restore(slots.snapshot())
    assert again.clients == 3
    assert np.array_equal(again.assign(batches[0]), before)


def test_too_few_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        ClientSlots(BLOCK_ROWS)


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "é\ud800", "日本"]])
def test_texts_survive_packing(texts: list[str]) -> None:
    assert unpack_texts(pack_texts(texts)) == texts
