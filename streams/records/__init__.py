"""Kafka's record batches, read as columns: an object for a record is made only when asked for."""

from __future__ import annotations

from streams.records.fetched import Fetched, FetchedRecord, RecordColumns, read_fetched

__all__ = ["Fetched", "FetchedRecord", "RecordColumns", "read_fetched"]
