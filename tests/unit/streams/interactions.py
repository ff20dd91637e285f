"""Interactions made to order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from streams.frames import INTERACTION_SCHEMA

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def interactions(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Build a frame; every row needs only what the test is about."""
    complete = [
        {
            "id": f"row-{number}",
            "time": EPOCH + timedelta(milliseconds=number),
            "source": "events",
            "source_partition": 0,
            "source_offset": number,
            "source_index": 0,
            "client": "anna",
            "model": "digits",
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pa.RecordBatch.from_pylist(complete, schema=INTERACTION_SCHEMA)
