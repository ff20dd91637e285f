"""A document as the stores take it."""

from __future__ import annotations

from typing import NamedTuple

#: Topic and partition that documents came from: the log they belong to.
Source = tuple[str, int]


class Row(NamedTuple):
    """One document as it is inserted; ``body`` is the exact ECS JSON, ``ts`` in microseconds."""

    event_id: str
    ts: int
    kind: str
    client: str | None
    model: str | None
    rule_id: str | None
    tenant: str | None
    body: bytes
