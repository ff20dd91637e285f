"""What detectors see of a frame: columns, never one object per event.

Everything that enters a decision is an integer. Sums of integers do not depend on the order
or on the cuts of a stream, so a replay gives byte-identical findings however it is batched.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Fixed point of confidences, entropies, distances and log e-values: units of 2**-16.
FIXED_POINT_BITS = 16
FIXED_POINT_ONE = 1 << FIXED_POINT_BITS
#: What clients may share, see `Batch.traits`.
TRAITS = ("tenant", "network", "agent", "key", "template")


def to_fixed(values: NDArray[np.floating]) -> NDArray[np.int32]:
    """Round real numbers to fixed point."""
    return np.rint(np.asarray(values, np.float64) * FIXED_POINT_ONE).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Batch:
    """Interactions of one model in stream order.

    Attributes
    ----------
    first_row
        Position of the first row in the model's stream of this partition; rows are counted
        from 0 and never skip, so it is the same however the stream is cut.
    time_us
        int64 (n,): event time, microseconds since the epoch.
    watermark_us
        int64 (n,): event time up to which all sources had been seen when the row arrived.
    client
        int32 (n,): index into ``clients``.
    tenants
        Tenant of each of ``clients`` at its first row, None if unknown; empty if of none.
    label
        int32 (n,): answered class, -1 if unknown.
    confidence, margin, entropy
        int32 (n,), fixed point: highest probability, top-1 minus top-2 probability, and
        entropy of the answer in nats; -1 if the answer has no scores.
    log_odds
        int32 (n,), fixed point: logarithm of top-1 over top-2 probability; -1 if unknown.
    status
        int16 (n,): HTTP-like status, 0 if unknown.
    input_tokens, output_tokens
        int32 (n,): -1 if unknown.
    payload_hash
        uint64 (n,): hash of the exact payload; 0 if there was none.
    scanned
        bool (n,): the row has a sketch and an embedding.
    sketch
        uint8 (n, s): what the input looks like, coarsely.
    embedding
        int8 (n, e): the model's view of the input, coarsely.
    grain
        int32 (n,): how noisy the input is, 0 where that has no meaning.
    view
        uint8 (n, v): the input in grey, at most 32 a side.
    bias
        uint64 (n,): hash of the bias that was asked to be put on the logits, 0 if none; None if
        nobody asked for one.
    scored
        bool (n,): log-probabilities or several samples were asked for; None if nobody did.
    traits
        uint64 (n, `TRAITS`): hashes of what other clients may share, 0 where it is not known; None
        if nothing is.
    interaction_id
        Gives the id of the interaction in row i.
    """

    model: str
    first_row: int
    clients: tuple[str, ...]
    time_us: NDArray[np.int64]
    watermark_us: NDArray[np.int64]
    client: NDArray[np.int32]
    label: NDArray[np.int32]
    confidence: NDArray[np.int32]
    margin: NDArray[np.int32]
    entropy: NDArray[np.int32]
    log_odds: NDArray[np.int32]
    status: NDArray[np.int16]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    payload_hash: NDArray[np.uint64]
    scanned: NDArray[np.bool_]
    sketch: NDArray[np.uint8]
    embedding: NDArray[np.int8]
    grain: NDArray[np.int32]
    view: NDArray[np.uint8]
    interaction_id: Callable[[int], str]
    tenants: tuple[str | None, ...] = ()
    bias: NDArray[np.uint64] | None = None
    scored: NDArray[np.bool_] | None = None
    traits: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.time_us)

    def cut(self, start: int, stop: int) -> Batch:
        """Return rows ``start`` to ``stop`` as a batch of its own."""
        columns = {
            field.name: getattr(self, field.name)[start:stop]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        inner, offset = self.interaction_id, start
        return replace(
            self,
            first_row=self.first_row + start,
            interaction_id=lambda row: inner(offset + row),
            **columns,
        )
