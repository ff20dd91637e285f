"""What a check of a log looks at, and what it finds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.ledger.note import Checkpoint

Kind = Literal["altered", "removed", "inserted", "moved", "rewritten", "rolled back", "checkpoint"]

#: Faults of one log that are told one by one; what comes after is counted.
MAX_FAULTS = 1000


class Entry(NamedTuple):
    """A record as it is stored; ``body`` None: its content was erased, its hash was kept."""

    position: int
    event_id: str
    leaf: bytes
    link: bytes
    body: bytes | None


class Absent(NamedTuple):
    """A record whose content is gone and whose hash was kept."""

    position: int
    event_id: str


class Fault(NamedTuple):
    """One thing that is wrong; positions ``[first, end)``."""

    kind: Kind
    origin: str
    first: int
    end: int
    event_id: str | None
    text: str


class Report(NamedTuple):
    """What a pass over one log found.

    ``size`` records are there, ``signed`` are covered by the newest checkpoint, ``erased`` have
    lost their content by a policy (the caller knows whether it was one), ``expired`` are missing at
    the beginning of a log whose store drops them.
    """

    origin: str
    size: int
    signed: int
    checkpoints: int
    erased: tuple[Absent, ...]
    faults: tuple[Fault, ...]
    unnamed: int
    expired: int


def spanned(first: int, end: int) -> str:
    """Say which records lie in a range, and that they are.

    Examples
    --------
    >>> spanned(7, 8), spanned(7, 10)
    ('record 7 is', 'records 7 to 9 are')
    """
    return f"record {first} is" if end - first == 1 else f"records {first} to {end - 1} are"


def equivocations(checkpoints: Iterable[Checkpoint]) -> list[Fault]:
    """Return a fault for each two checkpoints of one log and size that differ."""
    seen: dict[tuple[str, int], Checkpoint] = {}
    doubles: Counter[tuple[str, int]] = Counter()
    for item in checkpoints:
        first = seen.setdefault((item.origin, item.size), item)
        if (first.root, first.chain) != (item.root, item.chain):
            doubles[item.origin, item.size] += 1
    return [
        Fault(
            "checkpoint",
            origin,
            size,
            size,
            None,
            f"the key signed {count + 1} different logs of {size} records",
        )
        for (origin, size), count in doubles.items()
    ]
