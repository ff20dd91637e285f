"""Audit frames and alerts as ECS 9.4 documents: the same bytes for SQLite and Elasticsearch.

A frame is turned column by column, so that a row costs one pass of Struct building and one
encoding, no look-ups in Arrow.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow.compute as pc

from streams.positions import INDEX_BITS
from streams.respond.times import event_time, microseconds
from streams.store import ecs
from streams.store.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from streams.respond.alerts import Alert

_DENIED_STATUS = frozenset({401, 403, 429, 451})
_FLOAT_DIGITS = 6
_FLOATS = ("confidence", "near_log_e", "far_log_e")
_LLM_OPERATIONS = frozenset({"chat", "completion", "embedding"})
_CATEGORY = ("api",)
_NOT_SCANNED = ("not-scanned",)
#: 00-<32 hex>-<16 hex>-<2 hex>, W3C trace context level 1
_TRACEPARENT_CHARS = 55

#: Sorted keys: the one form of a document that its hash is taken of, wherever it was stored.
_encoder = msgspec.json.Encoder(order="sorted")


def audit_rows(frame: pa.RecordBatch, namespace: str = ecs.NAMESPACE) -> list[Row]:
    """Return one row a interaction of an audit frame (`streams.frames.AUDIT_SCHEMA`)."""
    times_us, times = _times(frame)
    encode = _encoder.encode
    stream = ecs.DataStream("logs", ecs.AUDIT_DATASET, namespace)
    return [
        Row(
            record.id,
            ts,
            "event",
            record.client,
            record.model,
            None,
            record.tenant,
            encode(_document(record, time, stream)),
            f"{record.source or ''}/{record.source_partition}",
            record.source_offset << INDEX_BITS | record.source_index,
            record,
        )
        for ts, time, record in zip(times_us, times, _records(frame), strict=True)
    ]


def alert_row(alert: Alert, namespace: str = ecs.NAMESPACE) -> Row:
    """Return the row of an alert."""
    document = ecs.alert_document(alert, ecs.DataStream("logs", ecs.ALERT_DATASET, namespace))
    client = alert.subject.ids[0] if alert.subject.ids and alert.subject.type == "client" else None
    return Row(
        alert.id,
        microseconds(event_time(alert.time)),
        "alert",
        client,
        alert.model,
        alert.detector,
        alert.tenant,
        _encoder.encode(document),
    )


def _times(frame: pa.RecordBatch) -> tuple[list[int], list[str]]:
    column = frame.column("time").to_numpy(zero_copy_only=False).astype("datetime64[us]")
    texts: list[str] = np.datetime_as_string(column, unit="us", timezone="UTC").tolist()
    return column.astype(np.int64).tolist(), texts


class _Record(msgspec.Struct, gc=False):
    """One row of the audit schema, apart from its time."""

    id: str
    source: str | None
    source_partition: int
    source_offset: int
    source_index: int
    tenant: str | None
    client: str
    key_id: str | None
    client_net: str | None
    user_agent: str | None
    model: str
    model_version: str | None
    endpoint: str | None
    operation: str | None
    status: int | None
    error: str | None
    latency_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    input_dtype: str | None
    label: int | None
    groups: list[tuple[str, str]] | None
    input_hash: bytes | None
    trace: str | None
    prompt_chars: int | None
    completion_chars: int | None
    input_bytes: int | None
    scanned: bool
    confidence: float | None
    near_log_e: float | None
    far_log_e: float | None
    content_key: str | None
    content: bytes | None


def _records(frame: pa.RecordBatch) -> Iterator[_Record]:
    columns = [_values(frame, name) for name in _Record.__struct_fields__]
    return map(_Record, *columns)


def _values(frame: pa.RecordBatch, name: str) -> list[Any]:
    column = frame.column(name)
    if name in _FLOATS and column.null_count < len(column):
        # float32 widened to JSON would read 0.8999999761581421
        column = _rounded(column)
    values: list[Any] = column.to_pylist()
    return values


def _rounded(column: pa.Array) -> Any:
    return pc.round(pc.cast(column, "float64"), _FLOAT_DIGITS)


@lru_cache(maxsize=1024)
def _event_words(status: int | None) -> tuple[tuple[str, str], str]:
    access = "denied" if status in _DENIED_STATUS else "allowed"
    if not status:
        return ("access", access), "unknown"
    return ("access", access), "success" if status < 400 else "failure"


def _document(record: _Record, time: str, stream: ecs.DataStream) -> ecs.AuditDocument:
    types, outcome = _event_words(record.status)
    latency = record.latency_us
    return ecs.AuditDocument(
        timestamp=time,
        ecs=ecs.VERSION,
        data_stream=stream,
        message=_message(record),
        event=ecs.AuditEvent(
            kind="event",
            category=_CATEGORY,
            module=ecs.MODULE,
            dataset=ecs.AUDIT_DATASET,
            id=record.id,
            action=record.operation,
            outcome=outcome,
            type=types,
            duration=None if latency is None else latency * 1000,
        ),
        user=ecs.Id(record.client),
        vedette=_own(record),
        tags=() if record.scanned else _NOT_SCANNED,
        related=ecs.Related((record.client,)),
        **_optional(record),
    )


def _message(record: _Record) -> str:
    operation = record.operation or "call"
    answered = f"answered {record.status}" if record.status else "without a known answer"
    return f"{operation} on {record.model} {answered}"


def _optional(record: _Record) -> dict[str, Any]:
    """Build only the field groups that the row has values for."""
    groups: dict[str, Any] = {}
    if record.tenant is not None:
        groups["organization"] = ecs.Id(record.tenant)
    if record.user_agent is not None:
        groups["user_agent"] = ecs.UserAgent(record.user_agent)
    if record.endpoint is not None:
        groups["url"] = ecs.Url(record.endpoint)
    if record.status:
        groups["http"] = ecs.Http(ecs.HttpResponse(record.status))
    if record.error is not None:
        groups["error"] = ecs.ErrorCode(record.error)
    if record.trace is not None and len(record.trace) == _TRACEPARENT_CHARS:
        groups["trace"] = ecs.Id(record.trace[3:35])
        groups["span"] = ecs.Id(record.trace[36:52])
    if record.operation in _LLM_OPERATIONS or record.input_tokens is not None:
        groups["gen_ai"] = ecs.GenAi(
            operation=ecs.Name(record.operation) if record.operation else None,
            request=ecs.GenAiRequest(record.model),
            usage=ecs.GenAiUsage(record.input_tokens, record.output_tokens),
        )
    return groups


def _own(record: _Record) -> ecs.AuditOwn:
    return ecs.AuditOwn(
        model=ecs.Model(record.model, record.model_version),
        kafka=ecs.KafkaPosition(
            record.source_partition, record.source_offset, record.source_index, record.source
        ),
        scanned=record.scanned,
        label=record.label,
        confidence=record.confidence,
        near_log_e=record.near_log_e,
        far_log_e=record.far_log_e,
        prompt_chars=record.prompt_chars,
        completion_chars=record.completion_chars,
        input=_input(record),
        key_id=record.key_id,
        client_network=record.client_net,
        groups=dict(record.groups) if record.groups else None,
        content=_content(record),
    )


def _content(record: _Record) -> ecs.Content | None:
    if record.content is None or record.content_key is None:
        return None
    return ecs.Content(record.content_key, record.content)


def _input(record: _Record) -> ecs.Input | None:
    if record.input_hash is None and record.input_bytes is None:
        return None
    digest = None if record.input_hash is None else record.input_hash.hex()
    return ecs.Input(digest, record.input_bytes, record.input_dtype)
