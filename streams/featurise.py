"""From Arrow rows of one model to what detectors see: answers, sketches, embeddings."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from detectors.answers import Answers, answers_of
from detectors.batch import Batch
from models.encoder import Features
from streams.columns import (
    codes,
    integers,
    list_lengths,
    map_entries,
    payload_hashes,
    score_rows,
    tensor_rows,
    times_us,
)
from streams.traits import trait_hashes

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from models.encoder import Encoder

_BIAS = "logit_bias"
#: Parameters that ask for scores or samples, with the values that do not.
_SCORED = {
    "logprobs": ("false", "0"),
    "top_logprobs": ("0",),
    "n": ("0", "1"),
    "best_of": ("0", "1"),
}


def to_batch(
    batch: pa.RecordBatch,
    watermark: NDArray[np.int64],
    first_row: int,
    encoder: Encoder | None,
) -> Batch:
    """Turn interactions of one model into what detectors see.

    Parameters
    ----------
    batch
        Rows of one model in `streams.frames.INTERACTION_SCHEMA`.
    watermark
        int64 (n,), see `Batch.watermark_us`.
    first_row
        Position of the first row in the model's stream.
    encoder
        Gives sketches and embeddings; None if the model has no profile for tensors.
    """
    rows = batch.num_rows
    client, clients = codes(batch.column("client"))
    label = integers(batch.column("label"), np.int32, -1)
    answers = _answers(batch, label)
    ids = batch.column("id")
    scanned, features = _features(batch, encoder)
    bias, scored = _asked(batch)
    return Batch(
        model=str(batch.column("model")[0]),
        first_row=first_row,
        clients=tuple(str(name) for name in clients),
        time_us=times_us(batch.column("time")),
        watermark_us=watermark,
        client=client,
        label=answers.label,
        confidence=answers.confidence,
        margin=answers.margin,
        entropy=answers.entropy,
        log_odds=answers.log_odds,
        status=integers(batch.column("status"), np.int16, 0),
        input_tokens=integers(batch.column("input_tokens"), np.int32, -1),
        output_tokens=integers(batch.column("output_tokens"), np.int32, -1),
        payload_hash=payload_hashes(batch.column("input_hash")),
        scanned=scanned if rows else np.zeros(0, np.bool_),
        sketch=features.sketch,
        embedding=features.embedding,
        grain=features.grain,
        view=features.view,
        interaction_id=lambda row: str(ids[row]),
        tenants=_tenants(batch, client),
        bias=bias,
        scored=scored,
        traits=trait_hashes(batch),
    )


def _asked(
    batch: pa.RecordBatch,
) -> tuple[NDArray[np.uint64] | None, NDArray[np.bool_] | None]:
    """Return what requests ask for beyond an answer, see `Batch`."""
    column = batch.column("params")
    if column.null_count == batch.num_rows:
        return None, None
    bias, scored = np.zeros(batch.num_rows, np.uint64), np.zeros(batch.num_rows, np.bool_)
    for row, name, value in map_entries(column, (_BIAS, *_SCORED)):
        if name == _BIAS:
            bias[row] = int.from_bytes(blake2b(value.encode(), digest_size=8).digest(), "big")
        elif value not in _SCORED[name]:
            scored[row] = True
    return bias, scored


def _tenants(batch: pa.RecordBatch, client: NDArray[np.int32]) -> tuple[str | None, ...]:
    """Return the tenant at the first row of each client."""
    column = batch.column("tenant")
    if column.null_count == batch.num_rows:
        return ()
    tenant, names = codes(column)
    first = np.unique(client, return_index=True)[1]
    found = tenant[first].tolist()
    return tuple(names[code] if code >= 0 else None for code in found)


def _answers(batch: pa.RecordBatch, label: NDArray[np.int32]) -> Answers:
    rows = len(label)
    known = Answers(label.copy(), *(np.full(rows, -1, np.int32) for _ in range(4)))
    column = batch.column("scores")
    for classes in np.unique(list_lengths(column)):
        if classes < 2:  # a single score ranks nothing
            continue
        at, scores = score_rows(column, int(classes))
        finite = np.isfinite(scores).all(axis=1)
        at, scores = at[finite], scores[finite]
        for column_of, values in zip(known, answers_of(scores, label[at]), strict=True):
            column_of[at] = values
    return known


def _features(batch: pa.RecordBatch, encoder: Encoder | None) -> tuple[NDArray[np.bool_], Features]:
    rows = batch.num_rows
    scanned = np.zeros(rows, np.bool_)
    sizes = (0, 0, 0)
    if encoder is not None:
        sizes = (encoder.sketch_size, encoder.embedding_size, encoder.view_size)
    seen = Features(
        np.zeros((rows, sizes[0]), np.uint8),
        np.zeros((rows, sizes[1]), np.int8),
        np.zeros(rows, np.int32),
        np.zeros((rows, sizes[2]), np.uint8),
    )
    if encoder is None:
        return scanned, seen
    for at, values in tensor_rows(batch, elements=encoder.elements, floating=encoder.floating):
        if encoder.floating:
            finite = np.isfinite(values).all(axis=1)
            at, values = at[finite], values[finite]  # noqa: PLW2901
        if len(at):
            part = encoder.features(values)
            seen.sketch[at], seen.embedding[at], seen.grain[at], seen.view[at] = part
            scanned[at] = True
    return scanned, seen
