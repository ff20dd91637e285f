"""Requests in Open Inference Protocol V2 as rows for the model."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.columns import NUMERIC_DTYPES
from streams.decode.body import Limits
from streams.decode.document import Document
from streams.decode.envelope import (
    TimeBounds,
    caller,
    client_network,
    join_id,
    part_of,
    read_headers,
)
from streams.decode.media import Media, media_of
from streams.decode.model import Part
from streams.decode.oip_v2 import OipV2Decoder
from streams.decode.reasons import poison

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from config.settings import IngestSettings
    from models.registry import Architecture
    from streams.decode.envelope import Attributes
    from streams.roles.base import Record


class ModelInput(NamedTuple):
    """A request's body, and its rows (n, ...) as the model takes them."""

    body: bytes
    rows: NDArray[np.float32]


class RequestReader:
    """Reads requests within the bounds of ingestion.

    Parameters
    ----------
    bounds
        The same as those of the events that are watched.
    architecture
        The served model.
    """

    def __init__(self, bounds: IngestSettings, architecture: Architecture) -> None:
        self._bounds = bounds
        self._times = TimeBounds.of(bounds)
        self._decoder = OipV2Decoder(Limits.of(bounds))
        self._shape = architecture.input_shape
        self._elements = prod(architecture.input_shape)
        self._scale = np.float32(architecture.input_scale)

    def envelope(self, record: Record) -> Attributes:
        """Return who asks what, checked as ingestion will check it of the answer.

        Raises
        ------
        PoisonRecord
            If nobody can be answered: the id, the caller or another attribute is wrong.
        """
        attributes = read_headers(record.headers, self._bounds.max_identity_bytes)
        if part_of(attributes) is not Part.REQUEST:
            raise poison("unknown_type")
        join_id(attributes)
        self._times.event_time_us(attributes.time, record.timestamp)
        client_network(attributes)
        if not caller(attributes, record.key, None, self._bounds.max_identity_bytes):
            raise poison("missing_client")
        return attributes

    def read(self, attributes: Attributes, value: bytes | None) -> ModelInput:
        """Return the rows of a request.

        Raises
        ------
        PoisonRecord
            If it is none, or does not fit the model.
        """
        if value is None:
            raise poison("empty_body")
        if len(value) > self._bounds.max_record_bytes:
            raise poison("too_large")
        if media_of(attributes.content_type) is not Media.JSON:
            raise poison("wrong_content_type")
        document = Document(value)
        document.check_utf8()
        body = self._decoder.request(document)
        if body is None:
            raise poison("unknown_format")
        document.refuse_duplicates(body.members)
        rows = [self._row(row.input, row.input_dtype) for row in body.rows]
        stacked = np.stack(rows).astype(np.float32) * self._scale
        return ModelInput(value, stacked.reshape(-1, *self._shape))

    def _row(self, data: bytes | None, dtype: str | None) -> NDArray[Any]:
        if data is None or dtype not in NUMERIC_DTYPES:
            raise poison("unknown_datatype")
        row = np.frombuffer(data, NUMERIC_DTYPES[dtype])
        if len(row) != self._elements:
            raise poison("wrong_input_size")
        return row
