"""The seam between Faust and a role: chunks in, durable effects out.

A role knows nothing of Faust. The runtime gives it whole chunks of one partition and commits
exactly the prefix of offsets that the role has acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Protocol):
    """What a role reads of a consumed Kafka record (aiokafka's ConsumerRecord)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one partition, as one fetch brought them.

    ``ack`` may be called once, at any time, in any order between chunks, from the event loop:
    it says that every effect of all records of the chunk is durable.
    """

    source: Partition
    records: Sequence[Record]
    ack: Callable[[], None]

    @property
    def next_offset(self) -> int:
        """Offset of the first record after the chunk."""
        return self.records[-1].offset + 1


class Role(Protocol):
    """One kind of worker.

    All methods run on the event loop; heavy work goes to a thread inside ``process``.
    ``process`` is awaited for one chunk after the other of a topic. It must not raise for bad
    records (they go to the dead letters); `Transient` is retried by the role itself; anything
    that escapes stops the worker with a non-zero exit code and nothing acknowledged.
    """

    name: str
    topics: tuple[str, ...]

    async def start(self) -> None:
        """Open producers, stores and models."""

    async def assigned(self, partitions: set[Partition]) -> None:
        """Load the state of newly owned partitions; called before any of their chunks."""

    async def process(self, chunk: Chunk) -> None:
        """Handle a chunk; acknowledge it now or later."""

    async def release(self, partitions: set[Partition]) -> None:
        """Make held effects durable and acknowledge: partitions are revoked or the worker stops.

        May be called more than once for the same partitions.
        """

    async def stop(self) -> None:
        """Close everything; called once, after the last ``release``."""
