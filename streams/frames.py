"""Frames: Arrow record batches of interactions, schema ``interaction.v1``.

Between roles an event never travels alone: one Kafka record is one Arrow IPC stream with up to
some hundred rows. The same schema on disk is a recording.
"""

from __future__ import annotations

import pyarrow as pa

from config.errors import PoisonRecord

FRAME_CONTENT_TYPE = "application/vnd.apache.arrow.stream"
FRAME_TYPE = "io.vedette.interactions.v1"
#: A frame that claims more is refused before anything is allocated for it.
MAX_FRAME_BYTES = 16 << 20

INTERACTION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("source", pa.string()),
        pa.field("source_partition", pa.int32(), nullable=False),
        pa.field("source_offset", pa.int64(), nullable=False),
        pa.field("source_index", pa.int32(), nullable=False),
        pa.field("tenant", pa.string()),
        pa.field("client", pa.string(), nullable=False),
        pa.field("key_id", pa.string()),
        pa.field("client_net", pa.string()),
        pa.field("user_agent", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_version", pa.string()),
        pa.field("endpoint", pa.string()),
        pa.field("operation", pa.string()),
        pa.field("status", pa.int16()),
        pa.field("error", pa.string()),
        pa.field("latency_us", pa.int64()),
        pa.field("input_tokens", pa.int32()),
        pa.field("output_tokens", pa.int32()),
        pa.field("prompt", pa.large_string()),
        pa.field("completion", pa.large_string()),
        pa.field("input", pa.large_binary()),
        pa.field("input_shape", pa.list_(pa.int32())),
        pa.field("input_dtype", pa.string()),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("label", pa.int32()),
        pa.field("params", pa.map_(pa.string(), pa.string())),
        pa.field("groups", pa.map_(pa.string(), pa.string())),
        pa.field("input_hash", pa.binary(16)),
        pa.field("trace", pa.string()),
    ]
)

_NOT_AUDITED = {"prompt", "completion", "input", "input_shape", "scores", "params"}

#: What ``detect`` hands to ``index``: the interaction without its payload, and what was seen.
AUDIT_SCHEMA = pa.schema(
    [
        *(field for field in INTERACTION_SCHEMA if field.name not in _NOT_AUDITED),
        pa.field("prompt_chars", pa.int32()),
        pa.field("completion_chars", pa.int32()),
        pa.field("input_bytes", pa.int32()),
        pa.field("scanned", pa.bool_(), nullable=False),
        pa.field("confidence", pa.float32()),
        pa.field("near_log_e", pa.float32()),
        pa.field("far_log_e", pa.float32()),
        # what a tenant allows to be kept, encrypted
        pa.field("content_key", pa.string()),
        pa.field("content", pa.binary()),
    ]
)


def encode_frame(batch: pa.RecordBatch) -> bytes:
    """Serialise one record batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_frame(data: bytes | None, schema: pa.Schema = INTERACTION_SCHEMA) -> pa.RecordBatch:
    """Read one frame and bring it to ``schema``.

    Unknown columns are dropped, missing nullable ones become null.

    Raises
    ------
    PoisonRecord
        If the bytes are no Arrow stream of the schema.
    """
    if data is None:
        raise PoisonRecord("null_value", "a frame needs a value")
    if len(data) > MAX_FRAME_BYTES:
        raise PoisonRecord("too_large", f"a frame holds at most {MAX_FRAME_BYTES} bytes")
    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
        batch.validate(full=True)
        return conform(batch, schema)
    except (pa.ArrowException, StopIteration, ValueError, TypeError, OSError) as error:
        raise PoisonRecord("bad_frame", type(error).__name__) from None


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Order, cast and complete the columns of ``batch`` to match ``schema``.

    Raises
    ------
    PoisonRecord
        If a required column is missing or holds nulls.
    """
    if batch.schema.equals(schema):
        return batch
    columns = [_column(batch, field) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    index = batch.schema.get_field_index(field.name)
    if index < 0:
        if not field.nullable:
            raise PoisonRecord("missing_column", field.name)
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(index)
    if not field.nullable and column.null_count:
        raise PoisonRecord("null_in_required_column", field.name)
    return column if column.type.equals(field.type) else column.cast(field.type)
