"""Counters of the ledger; every label value exists from the start."""

from __future__ import annotations

from prometheus_client import Counter

CHECKPOINTS_SENT = Counter(
    "vedette_checkpoints_total",
    "Attempts to bring checkpoints to where they are kept.",
    ["to", "result"],
)

for _to in ("topic", "tiles", "file", "webhook"):
    for _result in ("delivered", "failed"):
        CHECKPOINTS_SENT.labels(to=_to, result=_result)
