"""A dead letter as a document: where it came from and why, and nothing of what it held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from config.errors import PoisonRecord
from streams.dlq import ERROR_CLASS_HEADER, FAILED_AT_HEADER, STAGE_HEADER
from streams.respond.text import shown
from streams.respond.times import event_time, iso, microseconds
from streams.store import ecs
from streams.store.row import Row

if TYPE_CHECKING:
    from streams.roles.base import Record

DLQ_DATASET = "vedette.dlq"
KIND = "dlq"
_MAX_CHARS = 200
_ORIGIN = "__dlq.errors."
_MAX_DIGITS = 18

_encoder = msgspec.json.Encoder(order="sorted")


def dead_letter_row(record: Record, namespace: str = ecs.NAMESPACE) -> Row:
    """Return the row of any record of a dead-letter topic; what it does not say is left out.

    It never refuses one: a dead letter is not dead-lettered again.
    """
    headers = _headers(record)
    time = _failed_at(headers, record)
    reason = headers.get(ERROR_CLASS_HEADER, "unknown")
    topic = headers.get(_ORIGIN + "topic") or record.topic.removesuffix(".dlq")
    identity = f"{record.topic}-{record.partition}-{record.offset}"
    letter = {
        "topic": topic,
        "partition": _number(headers.get(_ORIGIN + "partition")),
        "offset": _number(headers.get(_ORIGIN + "offset")),
        "stage": headers.get(STAGE_HEADER, "unknown"),
        "reason": reason,
        "bytes": len(record.value or b""),
    }
    document = {
        "@timestamp": iso(time),
        "data_stream": {"type": "logs", "dataset": DLQ_DATASET, "namespace": namespace},
        "ecs": {"version": ecs.ECS_VERSION},
        "error": {"code": reason},
        "event": {
            "kind": "pipeline_error",
            "category": ["api"],
            "type": ["info"],
            "module": ecs.MODULE,
            "dataset": DLQ_DATASET,
            "id": identity,
            "outcome": "failure",
        },
        "message": f"{letter['stage']} refused a record of {topic}: {reason}",
        "tags": [],
        "vedette": {
            "dead_letter": {name: value for name, value in letter.items() if value is not None}
        },
    }
    return Row(
        event_id=identity,
        ts=microseconds(time),
        kind=KIND,
        client=None,
        model=None,
        rule_id=None,
        tenant=None,
        body=_encoder.encode(document),
        origin=f"{record.topic}/{record.partition}",
        order=record.offset,
    )


def _headers(record: Record) -> dict[str, str]:
    """Return the headers as short plain texts; ours come last and win."""
    return {
        name: shown(value.decode(errors="replace"), _MAX_CHARS)
        for name, value in record.headers
        if isinstance(value, bytes)
    }


def _failed_at(headers: dict[str, str], record: Record) -> datetime:
    for text in (headers.get(FAILED_AT_HEADER), _iso_ms(record.timestamp)):
        try:
            return event_time(text or "")
        except PoisonRecord:
            continue
    return event_time("1970-01-01T00:00:00Z")


def _iso_ms(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _number(text: str | None) -> int | None:
    """Return a number that a long field takes, None for anything else."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    return int(text)
