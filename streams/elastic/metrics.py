"""Counters of the Elasticsearch indexer; every label value exists from the start."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

OUTCOMES = ("created", "parked", "replayed", "refused")

DOCUMENTS = Counter(
    "vedette_index_documents_total",
    "Documents by what became of them in Elasticsearch.",
    ["outcome"],
)
RETRIES = Counter("vedette_index_retries_total", "Documents that had to be sent again.")
WINDOW = Gauge("vedette_index_window_requests", "Bulk requests that may be under way.")
LAG = Gauge("vedette_index_lag_seconds", "Age of the oldest record that is not durable yet.")

for _outcome in OUTCOMES:
    DOCUMENTS.labels(outcome=_outcome)
