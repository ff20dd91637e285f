"""The vectorised memory of queries equals comparing one query after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from detectors.base import Segments
from detectors.query.ring import COMMON, FAR_AWAY, MEMORY, Queries, Ring

CLOSE_D2 = 40_000


class Query(NamedTuple):
    code: np.ndarray
    label: int
    payload: int
    odds: int
    strange: int

    def d2(self, other: Query) -> int:
        return int(((self.code.astype(int) - other.code.astype(int)) ** 2).sum())


def brute_force(history: list[Query], query: Query) -> dict[str, int | bool]:
    recent = history[-MEMORY:]
    others = [
        (past, query.d2(past), len(recent) - at)
        for at, past in enumerate(recent)
        if past.payload != query.payload or query.payload == 0
    ]
    same = [d2 for past, d2, _ in others if past.label == query.label]
    flipped = [d2 for past, d2, _ in others if past.label != query.label]
    crowd = [past for past, d2, _ in others if d2 <= CLOSE_D2]
    nearest = min((d2 for _, d2, _ in others), default=0)
    return {
        "d2": min(same, default=int(FAR_AWAY)),
        "entries": len(same),
        "other_d2": min(flipped, default=int(FAR_AWAY)),
        "others": len(flipped),
        "crowd": len(crowd),
        "lower": sum(past.odds <= query.odds for past in crowd),
        "mixed": sum(past.label != query.label for past in crowd),
        "likeness": max((past.strange for past in crowd), default=0),
        "oddest": min((past.strange for past in crowd), default=int(COMMON)),
        "age": {age for _, d2, age in others if d2 == nearest} or {0},
        "repeated": any(past.payload == query.payload != 0 for past in recent),
    }


@pytest.mark.parametrize("batch", [1, 3, 40, 64])
def test_nearest_equals_brute_force(batch: int) -> None:
    rng = np.random.default_rng(batch)
    rows = 600
    slot = rng.choice(4, rows, p=[0.7, 0.2, 0.05, 0.05])
    asked = [
        Query(
            rng.integers(0, 256, 9).astype(np.uint8),
            *rng.integers(0, [3, 60, 9, 97]).tolist(),
        )
        for _ in range(rows)
    ]
    ring = Ring(4, 9)
    histories: dict[int, list[Query]] = {index: [] for index in range(4)}
    for start in range(0, rows, batch):
        take = np.arange(start, min(rows, start + batch))
        segments = Segments.of(take, slot[take])
        queries = columns([asked[row] for row in segments.order])
        found = ring.nearest(segments, queries, np.full(len(take), CLOSE_D2))
        for position, row in enumerate(segments.order):
            history = histories[int(slot[row])]
            wanted = brute_force(history, asked[row])
            assert found.age[position] in wanted.pop("age")
            got = {name: getattr(found, name)[position] for name in wanted}
            assert got == wanted
            history.append(asked[row])
        ring.remember(segments, queries)


def columns(asked: list[Query]) -> Queries:
    return Queries.of(
        np.stack([query.code for query in asked]),
        np.array([query.label for query in asked], np.int32),
        np.array([query.payload for query in asked], np.uint64),
        np.array([query.odds << 6 for query in asked], np.int32),
        np.array([query.strange for query in asked], np.intp),
    )


def test_an_exact_resend_is_no_entry() -> None:
    ring = Ring(1, 4)
    segments = Segments.of(np.arange(2), np.zeros(2, np.intp))
    query = Query(np.ones(4, np.uint8), 0, 7, 1, 50)
    found = ring.nearest(segments, columns([query, query]), np.full(2, CLOSE_D2))
    assert found.repeated.tolist() == [False, True]
    assert found.entries.tolist() == [0, 0]
    assert found.crowd.tolist() == [0, 0]
