"""The vectorised memory of queries equals comparing one query after the other."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.base import Segments
from detectors.query.ring import FAR_AWAY, MEMORY, Queries, SketchRing


def brute_force(history: list[tuple[np.ndarray, int, int]], query: tuple) -> tuple[int, int, bool]:
    sketch, label, payload = query
    recent = history[-MEMORY:]
    eligible = [
        int(((sketch.astype(int) - past.astype(int)) ** 2).sum())
        for past, other, hashed in recent
        if other == label and (hashed != payload or payload == 0)
    ]
    repeated = any(hashed == payload != 0 for _, _, hashed in recent)
    return min(eligible, default=int(FAR_AWAY)), len(eligible), repeated


@pytest.mark.parametrize("batch", [1, 3, 40, 64])
def test_nearest_equals_brute_force(batch: int) -> None:
    rng = np.random.default_rng(batch)
    rows = 300
    slot = rng.choice(4, rows, p=[0.7, 0.2, 0.05, 0.05])
    sketch = rng.integers(0, 256, (rows, 9)).astype(np.uint8)
    label = rng.integers(0, 3, rows).astype(np.int32)
    payload = rng.integers(0, 60, rows).astype(np.uint64)
    ring = SketchRing(4, 9)
    histories: dict[int, list] = {index: [] for index in range(4)}
    for start in range(0, rows, batch):
        take = np.arange(start, min(rows, start + batch))
        segments = Segments.of(take, slot[take])
        queries = Queries.of(sketch[segments.order], label[segments.order], payload[segments.order])
        found = ring.nearest(segments, queries)
        for position, row in enumerate(segments.order):
            query = (sketch[row], int(label[row]), int(payload[row]))
            history = histories[int(slot[row])]
            got = (found.d2[position], found.entries[position], found.repeated[position])
            assert got == brute_force(history, query)
            history.append(query)
        ring.remember(segments, queries)


def test_an_exact_resend_is_no_entry() -> None:
    ring = SketchRing(1, 4)
    segments = Segments.of(np.arange(2), np.zeros(2, np.intp))
    same = Queries.of(np.ones((2, 4), np.uint8), np.zeros(2, np.int32), np.full(2, 7, np.uint64))
    found = ring.nearest(segments, same)
    assert found.repeated.tolist() == [False, True]
    assert found.entries.tolist() == [0, 0]
