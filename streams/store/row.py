"""A document as the stores take it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

#: Topic and partition that documents came from: the log they belong to.
Source = tuple[str, int]


class Measures(Protocol):
    """What is added up of an interaction; None: not known."""

    status: int | None
    latency_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    scanned: bool
    confidence: float | None


class Row(NamedTuple):
    """One document as it is inserted; ``body`` is the exact ECS JSON, ``ts`` in microseconds.

    ``origin`` and ``order`` tell replays: of one origin, a row whose order is not above that of
    an earlier one has come before. Without an origin only the id tells. Interactions bring
    measures.
    """

    event_id: str
    ts: int
    kind: str
    client: str | None
    model: str | None
    rule_id: str | None
    tenant: str | None
    body: bytes
    origin: str = ""
    order: int = -1
    measures: Measures | None = None


#: How many fields of a row the database has columns for.
STORED_FIELDS = 8
