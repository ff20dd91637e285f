"""Records of several calls: a bad one is refused alone, and the others are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from config.errors import PoisonRecord
from streams.decode.event import BatchFormat, Refused
from streams.decode.model import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.decode.event import RecordFormat
    from streams.roles.base import Record

P = ParamSpec("P")
T = TypeVar("T")
#: Dead letters of single calls may hold so many times the bytes of their record, or so many.
_MAX_GROWTH = 4
_ALWAYS_BYTES = 1 << 20


def tried(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Refused:
    """Return what ``make`` returns, or why it refuses."""
    try:
        return make(*args, **kwargs)
    except PoisonRecord as error:
        # a fresh one: that which was raised holds the frames of its traceback, and is held by
        # them, through events that the garbage collector does not look into
        return Refused(PoisonRecord(error.reason, error.detail))


def refusals(
    record: Record,
    value: bytes,
    record_format: RecordFormat,
    refused: Sequence[tuple[int, PoisonRecord]],
) -> list[Refusal]:
    """Return each refused call as a record of its own, which a replay brings alone.

    Raises
    ------
    PoisonRecord
        The first one, to refuse the record whole, if the calls alone would be many times as large
        as together: each brings what it shares with the others, and the headers.
    """
    assert isinstance(record_format, BatchFormat)  # noqa: S101 - no other refuses calls alone
    numbers = [number for number, _ in refused]
    header_bytes = sum(len(name) + len(text or b"") for name, text in record.headers)
    room = max(_MAX_GROWTH * (len(value) + header_bytes), _ALWAYS_BYTES)
    found: list[Refusal] = []
    for (number, error), single in zip(refused, record_format.single(value, numbers), strict=True):
        room -= len(single) + header_bytes
        if room < 0:
            raise refused[0][1]
        found.append(Refusal(number, error, single))
    return found
