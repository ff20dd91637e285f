"""The transport: which topics arrive in chunks, and who is told about partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from faust.transport.drivers.aiokafka import Transport

from streams.transport.consumer import BatchConsumer
from streams.transport.producer import IdempotentProducer

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_RELEASE_TIMEOUT_S = 45.0


class Membership(Protocol):
    """Told when partitions come and go; an exception crashes the worker."""

    async def assigned(self, partitions: set[tuple[str, int]]) -> None:
        """Prepare for these batch partitions; no chunk of them arrives before it returns."""

    async def release(self) -> None:
        """Settle and acknowledge everything: revocation or stop; may be called again."""


class BatchTransport(Transport):  # type: ignore[misc]  # faust is untyped here
    """aiokafka driver with one message a chunk for some topics.

    Parameters
    ----------
    url, app
        As Faust's transport takes them.
    batch_topics
        Topics that arrive in chunks; all others arrive record by record as stock. Changelog,
        reply and leader topics must not be among them.
    membership
        Whom to tell about assigned and revoked partitions.
    release_timeout_s
        How long `Membership.release` may take before the worker gives up; keep it below the
        group's rebalance timeout.
    """

    Consumer: ClassVar[type[Any]] = BatchConsumer
    Producer: ClassVar[type[Any]] = IdempotentProducer

    def __init__(
        self,
        url: Any,
        app: Any,
        *,
        batch_topics: Iterable[str] = (),
        membership: Membership | None = None,
        release_timeout_s: float = DEFAULT_RELEASE_TIMEOUT_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(url, app, **kwargs)
        self.batch_topics = frozenset(batch_topics)
        self.membership = membership
        self.release_timeout_s = release_timeout_s
