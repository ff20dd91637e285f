"""Audit frames and rows for tests."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from streams.frames import AUDIT_SCHEMA
from streams.store.row import Row

BASE_US = 1_790_000_000_000_000

FULL: dict[str, Any] = {
    "id": "vedette.events.v1-2-41-0",
    "time": BASE_US,
    "source": "vedette.events.v1",
    "source_partition": 2,
    "source_offset": 41,
    "source_index": 0,
    "tenant": "t1",
    "client": "u1_alice",
    "key_id": "k1_abc",
    "client_net": "192.0.2.0/24",
    "user_agent": "curl/8.5",
    "model": "digits",
    "model_version": "3",
    "endpoint": "/v2/models/digits/infer",
    "operation": "predict",
    "status": 200,
    "latency_us": 1234,
    "input_tokens": None,
    "output_tokens": None,
    "input_dtype": "float32",
    "label": 7,
    "groups": [("region", "north")],
    "input_hash": bytes(range(16)),
    "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "input_bytes": 256,
    "scanned": True,
    "confidence": 0.9,
    "near_log_e": -0.25,
    "far_log_e": 1.5,
}
BARE: dict[str, Any] = {
    "id": "vedette.responses.v1-0-7-0",
    "time": BASE_US + 1,
    "source_partition": 0,
    "source_offset": 7,
    "source_index": 0,
    "client": "u1_bob",
    "model": "digits",
    "scanned": False,
}
CHAT: dict[str, Any] = {
    **BARE,
    "id": "vedette.events.v1-0-8-0",
    "model": "assistant",
    "operation": "chat",
    "status": 429,
    "error": "rate_limited",
    "input_tokens": 120,
    "output_tokens": 0,
    "prompt_chars": 512,
    "completion_chars": 0,
}


def frame(*records: dict[str, Any]) -> pa.RecordBatch:
    columns = [pa.array([r.get(f.name) for r in records], f.type) for f in AUDIT_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=AUDIT_SCHEMA)


def row(number: int, **changes: Any) -> Row:
    made = Row(
        event_id=f"vedette.events.v1-0-{number}-0",
        ts=BASE_US + number * 1_000_000,
        kind="event",
        client=f"u1_{number % 3}",
        model="digits",
        rule_id=None,
        tenant="t1",
        body=b'{"event":{"id":"%d"}}' % number,
    )
    return made._replace(**changes)
