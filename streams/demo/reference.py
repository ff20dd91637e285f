"""A recording of ordinary traffic, as the watch would have made it on a quiet day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.frames import INTERACTION_SCHEMA
from streams.recording import RecordingWriter
from streams.topics import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from streams.demo.clients import Population, Traffic
    from streams.identity import Pseudonyms

BATCH_ROWS = 8192
LATENCY_US = 5_000


class ReferencePictures:
    """Pictures and what the model answers for them.

    Parameters
    ----------
    pictures
        uint8 (n, height, width).
    scores
        float32 (n, classes).
    pseudonyms
        Hash payloads as ingest does.
    """

    def __init__(
        self, pictures: NDArray[np.uint8], scores: NDArray[np.float32], pseudonyms: Pseudonyms
    ) -> None:
        self.shape = list(pictures.shape[1:])
        self.inputs = pa.array([picture.tobytes() for picture in pictures], pa.large_binary())
        self.scores = pa.array(list(scores), pa.list_(pa.float32()))
        self.labels = pa.array(scores.argmax(axis=1), pa.int32())
        hashes = [pseudonyms.payload_hash(picture.tobytes()) for picture in pictures]
        self.hashes = pa.array(hashes, pa.binary(16))


def write_reference(
    path: Path,
    model: str,
    traffic: Traffic,
    clients: NDArray[np.str_],
    answered: ReferencePictures,
    began: datetime,
) -> None:
    """Write simulated traffic as a recording.

    A picture's payload is kept where it is first asked about. Calibration learns from one part
    of the payloads and measures on the other: the same picture in both would make every
    picture that comes later look strange.

    Parameters
    ----------
    path
        ``*.parquet`` or ``*.arrow``.
    model
        Its name.
    traffic
        Who asked when about what.
    clients
        Pseudonym of each client.
    answered
        The pool of pictures.
    began
        When the first second of the traffic was.
    """
    first = np.zeros(len(traffic), np.bool_)
    first[np.unique(traffic.picture, return_index=True)[1]] = True
    with RecordingWriter(path) as writer:
        for start in range(0, len(traffic), BATCH_ROWS):
            rows = slice(start, min(start + BATCH_ROWS, len(traffic)))
            writer.write(_batch(model, traffic, rows, clients, answered, first[rows], began))


def pseudonyms_of(population: Population, pseudonym: Callable[[str], str]) -> NDArray[np.str_]:
    """Return the pseudonym of each client of a population."""
    return np.array([pseudonym(name) for name in population.names])


def _batch(
    model: str,
    traffic: Traffic,
    rows: slice,
    clients: NDArray[np.str_],
    answered: ReferencePictures,
    first: NDArray[np.bool_],
    began: datetime,
) -> pa.RecordBatch:
    count = rows.stop - rows.start
    picture = pa.array(traffic.picture[rows])
    began_us = round(began.timestamp() * 1e6)
    time_us = began_us + np.rint(traffic.time_s[rows] * 1e6).astype(np.int64)
    columns = {
        "id": pa.array([f"reference-{row}" for row in range(rows.start, rows.stop)]),
        "time": pa.array(time_us.astype("datetime64[us]"), pa.timestamp("us", tz="UTC")),
        "source": pa.array([RESPONSES] * count),
        "source_partition": pa.array(np.zeros(count, np.int32)),
        "source_offset": pa.array(np.arange(rows.start, rows.stop, dtype=np.int64)),
        "source_index": pa.array(np.zeros(count, np.int32)),
        "client": pa.array(clients[traffic.client[rows]]),
        "model": pa.array([model] * count),
        "operation": pa.array(["predict"] * count),
        "status": pa.array(np.full(count, 200, np.int16)),
        "latency_us": pa.array(np.full(count, LATENCY_US, np.int64)),
        "input": answered.inputs.take(pc.if_else(pa.array(first), picture, None)),
        "input_shape": pa.array([answered.shape] * count, pa.list_(pa.int32())),
        "input_dtype": pa.array(["uint8"] * count),
        "scores": answered.scores.take(picture),
        "label": answered.labels.take(picture),
        "input_hash": answered.hashes.take(picture),
    }
    arrays = [
        columns.get(field.name, pa.nulls(count, field.type)).cast(field.type)
        for field in INTERACTION_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=INTERACTION_SCHEMA)
