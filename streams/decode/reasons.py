"""Why a record can be refused: a closed set, each with the sentence operators read.

The names are metric labels and the ``vedette-error-class`` of dead letters; the sentences hold
nothing of the record.
"""

from __future__ import annotations

from config.errors import PoisonRecord

REASONS: dict[str, str] = {
    # the record and its envelope
    "too_large": "the record is larger than ingest.max_record_bytes",
    "no_envelope": "there is neither a ce_type header nor a CloudEvents content type",
    "unknown_specversion": "the CloudEvents version is missing or none that is known",
    "unknown_type": "the event type is neither a request, a response nor a complete event",
    "missing_attribute": "ce_id or ce_source is missing or empty",
    "missing_client": "neither the envelope, the key nor the body says who called",
    "duplicate_attribute": "an attribute is given more than once",
    "attribute_too_long": "an identity or attribute is longer than ingest.max_identity_bytes",
    "bad_attribute": "an attribute that must be a number or an address is none",
    "bad_time": "the event time is no RFC 3339 timestamp with a zone",
    "time_in_future": "the event time is further ahead of the broker's than ingest.max_future_s",
    "time_in_past": "the event time is further behind the broker's than ingest.max_past_s",
    "wrong_content_type": "the content type is not JSON in UTF-8",
    "bad_structured_event": "the structured CloudEvent is malformed",
    "another_format": "the record is not of the format that its source is set to",
    "too_many_events": "the record holds more events than ingest.max_batch_rows",
    # JSON
    "empty_body": "the body is empty",
    "truncated_json": "the JSON ends in the middle",
    "malformed_json": "the body is not JSON",
    "invalid_utf8": "the text is not valid UTF-8",
    "too_deep": "the JSON is nested too deeply",
    "duplicate_key": "a JSON object has the same key twice",
    "non_finite": "a number is NaN, infinite or too large for its datatype",
    "wrong_type": "a member is missing or has the wrong type",
    "unknown_format": "the body is in no format that is known",
    # protobuf and event streams
    "malformed_protobuf": "the protobuf message is cut short or malformed",
    "too_many_fields": "the protobuf message has more fields than a record may have",
    "malformed_stream": "the event stream is in no format that is known, or a chunk is malformed",
    # tensors and numbers
    "unknown_datatype": "the tensor's datatype is none of the Open Inference Protocol",
    "bad_shape": "the tensor's shape has no dimension or one below 1",
    "shape_mismatch": "the number of values is not the product of the tensor's shape",
    "value_out_of_range": "a value does not fit the tensor's datatype",
    "wrong_value_type": "a value is of another type than the tensor's datatype",
    "too_many_elements": "the tensor has too many elements, or more bytes than a record may have",
    "too_many_rows": "the request has more rows than one record may hold",
    "wrong_input_size": "a row of the request has another number of values than the model takes",
    "row_mismatch": "the response has another number of rows than its request",
    "missing_data": "the tensor has no data, neither in JSON nor after it",
    "bad_binary_length": "the binary tensors are not as long as their JSON says",
    "raw_and_typed": "a tensor has raw and typed contents, which exclude each other",
    "int_out_of_range": "an integer of the body or the envelope is negative or too large",
}


def poison(reason: str) -> PoisonRecord:
    """Return the error of ``reason``; unknown reasons are a bug and raise KeyError."""
    return PoisonRecord(reason, REASONS[reason])
