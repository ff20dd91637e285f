"""Which data stream holds what, and the documents that are not interactions or alerts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from streams.elastic.document import base36, id_prefix
from streams.store import ecs
from streams.store.dead_letters import DLQ_DATASET
from streams.store.window_document import WINDOW_DATASET
from streams.topics import ACCESS, ALERTS, AUDIT, DLQ_SUFFIX

if TYPE_CHECKING:
    from streams.ledger.log import Segment

CHECKPOINT_DATASET = "vedette.checkpoint"
_DATASETS = {
    AUDIT: ecs.AUDIT_DATASET,
    ACCESS: ecs.AUDIT_DATASET,
    ALERTS: ecs.ALERT_DATASET,
}


def stream_of(topic: str, namespace: str) -> str:
    """Return the data stream of a topic's documents."""
    dataset = DLQ_DATASET if topic.endswith(DLQ_SUFFIX) else _DATASETS[topic]
    return f"logs-{dataset}-{namespace}"


def logged_streams(namespace: str) -> str:
    """Return the data streams that hold records of logs."""
    datasets = (ecs.AUDIT_DATASET, ecs.ALERT_DATASET, DLQ_DATASET)
    return ",".join(f"logs-{dataset}-{namespace}" for dataset in datasets)


def checkpoint_stream(namespace: str) -> str:
    """Return the data stream of the checkpoints."""
    return f"logs-{CHECKPOINT_DATASET}-{namespace}"


def window_stream(namespace: str) -> str:
    """Return the data stream of the window aggregates."""
    return f"metrics-{WINDOW_DATASET}-{namespace}"


def checkpoint_document(segment: Segment, namespace: str) -> tuple[str, str, bytes]:
    """Return data stream, id and document of a closed segment."""
    time = segment.note.partition("\ntime ")[2].partition("\n")[0]
    digest = hashlib.sha256(segment.note.encode()).hexdigest()
    document = {
        "@timestamp": time,
        "ecs": {"version": ecs.ECS_VERSION},
        "data_stream": {
            "type": "logs",
            "dataset": CHECKPOINT_DATASET,
            "namespace": namespace,
        },
        "event": {
            "kind": "event",
            "category": ["configuration"],
            "type": ["info"],
            "module": ecs.MODULE,
            "dataset": CHECKPOINT_DATASET,
            "action": "checkpoint",
            "id": digest[:32],
            "outcome": "success",
        },
        "message": f"{segment.size} records of {segment.origin} are signed",
        "tags": [],
        "vedette": {
            "checkpoint": {
                "log": segment.origin,
                "first": segment.first,
                "size": segment.size,
                "blocks": segment.blocks,
                "note": segment.note,
            }
        },
    }
    identity = f"{id_prefix(segment.origin)}.{base36(segment.size)}"
    return checkpoint_stream(namespace), identity, msgspec.json.encode(document)
