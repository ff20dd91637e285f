"""One Faust message for a whole chunk, and the schema that leaves it as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.serializers.schemas import Schema
from faust.types import ConsumerMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence


class BatchMessage(ConsumerMessage):  # type: ignore[misc]  # faust is untyped here
    """Consecutive records of a partition; its offset is the one of the last record.

    Parameters
    ----------
    tp
        Partition of the records.
    records
        The records as the driver fetched them, at least one.
    generation_id
        Group generation they were fetched in: streams drop messages of an older one.
    """

    def __init__(self, tp: Any, records: Sequence[Any], generation_id: int | None) -> None:
        last = records[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            (last.timestamp or 0) / 1000.0,
            last.timestamp_type,
            [],
            None,
            records,
            None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=generation_id,
        )
        self.first_offset: int = records[0].offset


class BatchSchema(Schema):  # type: ignore[misc]  # faust is untyped here
    """Wraps the chunk into an event without any codec; bytes are parsed by the role."""

    def compile(
        self,
        app: Any,
        *,
        on_key_decode_error: Any = None,  # noqa: ARG002 - the signature is Faust's
        on_value_decode_error: Any = None,  # noqa: ARG002
        default_propagate: bool = False,
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the decoder of a topic."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = default_propagate) -> Any:  # noqa: ARG001
            return create_event(None, message.value, message.headers, message)

        return decode
