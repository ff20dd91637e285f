"""What became of halves, and why records were refused."""

from __future__ import annotations

from prometheus_client import Counter

from streams.decode.reasons import REASONS
from streams.metrics.catalogue import DECODE_ERRORS

JOINS = Counter("vedette_joins_total", "What became of halves.", ["outcome"])
FORWARDED = Counter("vedette_halves_forwarded_total", "Halves sent to where they meet.")

OUTCOMES = ("joined", "orphaned", "duplicate", "reordered", "evicted", "row_mismatch", "reused_id")

for _outcome in OUTCOMES:
    JOINS.labels(_outcome)
for _reason in (*REASONS, "bad_half"):
    DECODE_ERRORS.labels(_reason)
