"""What a record format makes of a record: events, each with its envelope and its bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import msgspec

from streams.decode.document import Document
from streams.decode.envelope import NO_ATTRIBUTES, Attributes
from streams.decode.model import Part, RequestBody, ResponseBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.errors import PoisonRecord
    from streams.roles.base import Record


class Event(msgspec.Struct, gc=False):
    """One event of a record.

    ``source`` and ``id`` join the halves. ``time_us`` is the event's own time where the format
    gives it as a number; else `Attributes.time` counts. ``document`` is the JSON that rules of
    identity may look into. Without a caller an event is refused, unless it may be ``anonymous``.
    The other half of a ``scattered`` one lies in another partition or topic.
    """

    part: Part
    source: str
    id: str
    attributes: Attributes = NO_ATTRIBUTES
    request: RequestBody | None = None
    response: ResponseBody | None = None
    time_us: int | None = None
    key: bytes | None = None
    document: Document | None = None
    anonymous: bool = True
    params: dict[str, str] | None = None
    scattered: bool = False


class Refused(NamedTuple):
    """A call of a record that is refused while others of it are good."""

    error: PoisonRecord


class RecordFormat(Protocol):
    """One format of records."""

    def events(
        self, record: Record, document: Document, attributes: Attributes, /
    ) -> Sequence[Event | Refused] | None:
        """Return the events of a record; None if it is of another format.

        The document is the record's value, whether it is JSON or not.

        Only a `BatchFormat` returns more than one, or refuses one alone.

        Raises
        ------
        PoisonRecord
            If it is of this format and wrong.
        """


@runtime_checkable
class BatchFormat(Protocol):
    """A format whose records may hold several calls."""

    def single(self, value: bytes, numbers: Sequence[int], /) -> Iterable[bytes]:
        """Yield a record of each of some calls alone, numbered as `events` lists them.

        The bytes of a call stay as they are.
        """
