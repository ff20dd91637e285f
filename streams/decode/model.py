"""What decoding a record gives: slim rows, not yet columns."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from config.errors import PoisonRecord


class Part(IntEnum):
    """Which half of an interaction a record brings."""

    REQUEST = 1
    RESPONSE = 2
    COMPLETE = 3


class Interaction(msgspec.Struct, gc=False, array_like=True):
    """One row of ``interaction.v1``; what a half does not know stays None.

    ``scores`` are packed little-endian float32, ``input`` is row-major little-endian.
    ``offset`` and ``index`` are the position of the record that completed it and are set when
    it is emitted. Holds no cycles, so it is not tracked by the garbage collector.
    """

    id: str
    time_us: int
    offset: int = -1
    index: int = -1
    tenant: str | None = None
    client: str | None = None
    key_id: str | None = None
    client_net: str | None = None
    user_agent: str | None = None
    model: str | None = None
    model_version: str | None = None
    endpoint: str | None = None
    operation: str | None = None
    status: int | None = None
    error: str | None = None
    latency_us: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt: str | None = None
    completion: str | None = None
    input: bytes | None = None
    input_shape: list[int] | None = None
    input_dtype: str | None = None
    scores: bytes | None = None
    label: int | None = None
    params: dict[str, str] | None = None
    groups: dict[str, str] | None = None
    input_hash: bytes | None = None
    trace: str | None = None


class Refusal(NamedTuple):
    """A call of a record that is refused alone: which, why, and a record of it alone."""

    number: int
    error: PoisonRecord
    value: bytes


class Decoded(msgspec.Struct, gc=False):
    """One event of a record: its half, the key that joins halves, and one row for every sample.

    The other half of a ``scattered`` one lies in another partition or topic. A ``timed`` one
    tells its time itself. The first of several events of a record has the others as ``more``,
    and the calls that were ``refused``.
    """

    part: Part
    source: str
    event_id: str
    rows: list[Interaction]
    scattered: bool = False
    timed: bool = True
    more: Sequence[Decoded] = ()
    refused: Sequence[Refusal] = ()


class RequestBody(msgspec.Struct, gc=False):
    """What a request body says; ``members`` counts its JSON members, -1 if not counted."""

    operation: str
    rows: list[RequestRow]
    members: int = -1
    model: str | None = None
    user: str | None = None
    params: dict[str, str] | None = None


class RequestRow(msgspec.Struct, gc=False):
    """One sample: a tensor or a text."""

    input: bytes | None = None
    input_shape: list[int] | None = None
    input_dtype: str | None = None
    prompt: str | None = None


class ResponseBody(msgspec.Struct, gc=False):
    """What a response body says; a single error row stands for all rows of the request."""

    rows: list[ResponseRow]
    members: int = -1
    model: str | None = None
    model_version: str | None = None
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    params: dict[str, str] | None = None


class ResponseRow(msgspec.Struct, gc=False):
    """One answer: scores and label, or a text."""

    scores: bytes | None = None
    label: int | None = None
    completion: str | None = None
