"""What clients may share, as hashes: their tenant, network, agent, key and way of asking."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from detectors.batch import TRAITS
from streams.columns import codes

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_COLUMNS = {"tenant": "tenant", "network": "client_net", "agent": "user_agent", "key": "key_id"}
#: A template is how a prompt begins, with all digits alike.
_TEMPLATE_CHARS = 64
_DIGITS = str.maketrans("123456789", "000000000")


def trait_hashes(batch: pa.RecordBatch) -> NDArray[np.uint64] | None:
    """Return hashes (n, `TRAITS`) of what other clients may share, None if nothing is known.

    Unknown ones are 0.
    """
    hashes = np.zeros((batch.num_rows, len(TRAITS)), np.uint64)
    for place, trait in enumerate(TRAITS):
        column = _texts(batch, trait)
        if column.null_count < batch.num_rows:
            code, values = codes(column)
            # nulls have the code -1, and so the last hash
            hashes[:, place] = np.array([*map(_hash, values), 0], np.uint64)[code]
    return hashes if hashes.any() else None


def _texts(batch: pa.RecordBatch, trait: str) -> pa.Array:
    if trait in _COLUMNS:
        return batch.column(_COLUMNS[trait])
    return pc.utf8_slice_codeunits(batch.column("prompt"), 0, _TEMPLATE_CHARS)


def _hash(text: str | None) -> int:
    folded = " ".join((text or "").translate(_DIGITS).casefold().split())
    digest = blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") if folded else 0
