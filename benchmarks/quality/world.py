"""Clients with their queries, and the recording that they leave behind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from streams.frames import INTERACTION_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

BEGAN_US = 1_790_000_000_000_000
#: Rows of a batch of the recording.
ROWS = 8192


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who asks.

    Attributes
    ----------
    kind
        Benign kind, or family of the attack.
    x
        uint8 (n, h, w): queries in order.
    threat
        Empty for benign clients.
    success_at
        Query with which the attack had succeeded, if it did.
    hostile_from
        Number of queries before the first hostile one.
    between
        Number of benign queries among the hostile ones.
    """

    name: str
    kind: str
    x: NDArray[np.uint8]
    threat: str = ""
    success_at: int | None = None
    hostile_from: int = 0
    between: int = 0


def recording(
    victim: Victim, clients: Sequence[Client], *, seed: int, rate_per_s: float = 1.0
) -> Iterator[pa.RecordBatch]:
    """Yield interactions of all clients in order of time.

    Each client sends at a pace of its own, about ``rate_per_s``; all begin within a minute.
    """
    rng = np.random.default_rng(seed)
    times = [
        rng.uniform(0, 60e6)
        + np.cumsum(rng.exponential(1e6 / rate_per_s * rng.uniform(0.5, 2), len(c.x)))
        for c in clients
    ]
    owner = np.repeat(np.arange(len(clients)), [len(c.x) for c in clients])
    number = np.concatenate([np.arange(len(c.x)) for c in clients])
    when = np.concatenate(times)
    order = np.argsort(when, kind="stable")
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        x = np.stack(
            [
                clients[o].x[n]
                for o, n in zip(owner[rows].tolist(), number[rows].tolist(), strict=True)
            ]
        )
        yield interactions(
            victim, [clients[o].name for o in owner[rows].tolist()], x,
            BEGAN_US + when[rows].astype(np.int64), start,
        )  # fmt: skip


def interactions(
    victim: Victim,
    names: Sequence[str],
    x: NDArray[np.uint8],
    time_us: NDArray[np.int64],
    first: int,
) -> pa.RecordBatch:
    """Return rows in the schema ``interaction.v1``."""
    rows = len(x)
    scores = victim.scores(x)
    data = np.ascontiguousarray(x.reshape(rows, -1))
    offset = np.arange(first, first + rows)
    size = int(np.prod(x.shape[1:]))
    known = {
        "id": pa.array([f"events-0-{n}-0" for n in offset.tolist()]),
        "time": pa.array(time_us, pa.timestamp("us", tz="UTC")),
        "source": pa.array(["events"] * rows),
        "source_partition": pa.array(np.zeros(rows, np.int32)),
        "source_offset": pa.array(offset, pa.int64()),
        "source_index": pa.array(np.zeros(rows, np.int32)),
        "client": pa.array(names),
        "model": pa.array([victim.name] * rows),
        "operation": pa.array(["predict"] * rows),
        "status": pa.array(np.full(rows, 200), pa.int16()),
        "input": pa.LargeBinaryArray.from_buffers(
            pa.large_binary(),
            rows,
            [None, pa.py_buffer(np.arange(rows + 1, dtype=np.int64) * size), pa.py_buffer(data)],
        ),
        "input_shape": pa.array([list(x.shape[1:])] * rows, pa.list_(pa.int32())),
        "input_dtype": pa.array(["uint8"] * rows),
        "scores": pa.ListArray.from_arrays(
            np.arange(rows + 1, dtype=np.int32) * scores.shape[1], pa.array(scores.reshape(-1))
        ),
        "label": pa.array(scores.argmax(axis=1), pa.int32()),
        "input_hash": pa.array(
            [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in data], pa.binary(16)
        ),
    }
    columns = [
        known[field.name] if field.name in known else pa.nulls(rows, field.type)
        for field in INTERACTION_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=INTERACTION_SCHEMA)
