"""What the detectors' state costs in memory, and whether it grows for ever.

The engine runs in this process, on frames that are prepared once and given new positions, times
and clients.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.pipeline.child import Message, tell
from benchmarks.pipeline.model import SIDE, DigitsModel
from benchmarks.pipeline.plan import MODEL
from models.profiles import load_profiles
from streams.decode.model import Interaction
from streams.engine import Engine, EngineOptions
from streams.ingest.batches import rows_to_batch
from streams.roles.base import Partition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS = 4096
_STEP_US = 1000
_START_US = 1_700_000_000_000_000
#: Growth is counted from here: caches are warm and every client has been seen.
WARM_SHARE = 0.1


def measure(profiles: Path, events: int, clients: int) -> dict[str, float]:
    """Return state per client, and growth of the process after it has warmed up."""
    loaded = load_profiles(profiles, None, "cpu")
    options = EngineOptions(run_length_events=60_000, max_clients=clients, lateness_s=10.0)
    frame = _frame(DigitsModel())
    names = pa.array([f"u1_{number:026d}" for number in range(clients)])
    # Another engine runs first: what libraries allocate once is not state.
    Engine(loaded, options).process(next(_frames(frame, names[:1], ROWS)))
    engine = Engine(loaded, options)
    before = _rss_bytes()
    all_seen = warm = 0
    for seen, batch in enumerate(_frames(frame, names, events), start=1):
        engine.process(batch)
        tell(Message(seen * ROWS / events))
        if not all_seen and seen * ROWS >= clients:
            all_seen = _rss_bytes()
        if not warm and seen * ROWS >= max(events * WARM_SHARE, clients):
            warm = _rss_bytes()
    rss_end = _rss_bytes()
    arrays, _ = engine.snapshot()
    return {
        "clients": float(engine.clients),
        "state_bytes_per_client": engine.bytes_per_client,
        "snapshot_bytes_per_client": sum(array.nbytes for array in arrays.values()) / clients,
        "resident_bytes_per_client": (all_seen - before) / clients,
        "rss_growth_mb": (rss_end - warm) / 2**20,
    }


def _frames(frame: pa.RecordBatch, names: pa.Array, events: int) -> Iterator[pa.RecordBatch]:
    """Yield the frame again and again, as later events of other clients."""
    order = np.random.default_rng(3).permutation(len(names))
    at = {field.name: number for number, field in enumerate(frame.schema)}
    columns = frame.columns
    for start in range(0, events, ROWS):
        rows = np.arange(start, start + ROWS)
        columns[at["source_offset"]] = pa.array(rows)
        columns[at["time"]] = pa.array(
            (_START_US + rows * _STEP_US).astype("datetime64[us]"), frame.schema.field("time").type
        )
        columns[at["client"]] = names.take(pa.array(order[rows % len(names)]))
        yield pa.RecordBatch.from_arrays(columns, schema=frame.schema)


def _frame(model: DigitsModel) -> pa.RecordBatch:
    pictures = model.benign(ROWS, seed=4)
    scores = model.scores(pictures)
    rows = [_row(number, pictures[number], scores[number]) for number in range(ROWS)]
    return rows_to_batch(Partition("benchmark", 0), rows)


def _row(number: int, picture: NDArray[np.uint8], scores: NDArray[np.float32]) -> Interaction:
    return Interaction(
        id=f"benchmark-0-{number}-0",
        time_us=_START_US,
        offset=number,
        index=0,
        client="",
        model=MODEL,
        operation="predict",
        status=200,
        input=picture.tobytes(),
        input_shape=[SIDE, SIDE],
        input_dtype="uint8",
        scores=scores.astype("<f4").tobytes(),
        input_hash=number.to_bytes(16, "little"),
    )


def _rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    tell(Message(1.0, measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
