"""What one fetch brought of a partition: columns at once, single records when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from aiokafka.errors import CorruptRecordException

from streams.records.batches import read_batches
from streams.records.varints import read_varint, read_varints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.records.batches import Batch

_LOG_APPEND_TIME = 1
#: Bits of a first byte whose varint is longer, or negative.
_LONG = 0x81


class FetchedRecord(NamedTuple):
    """A record by itself; times in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class RecordColumns(NamedTuple):
    """Where things are in ``data``, one entry a record.

    A value that is null has a negative length. Headers begin with their count.
    """

    data: bytes
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    value_starts: NDArray[np.int64]
    value_stops: NDArray[np.int64]
    head_starts: NDArray[np.int64]
    head_stops: NDArray[np.int64]


class _Places(NamedTuple):
    """Where records are in the data, and what their deltas are added to."""

    starts: list[int]
    stops: list[int]
    offsets: list[int]
    first_ms: list[int]
    #: 0 where all records of a batch have the same time, that of the broker
    time_steps: list[int]

    def part(self, span: slice) -> _Places:
        return _Places(*(column[span] for column in self))


class Fetched(Sequence[FetchedRecord]):
    """Consecutive records of a partition.

    Parameters
    ----------
    topic, partition
        Where they are from.
    data
        Records as Kafka writes them, unpacked.
    places
        Where each of them is.
    """

    def __init__(self, topic: str, partition: int, data: bytes, places: _Places) -> None:
        self.topic = topic
        self.partition = partition
        self._data = data
        self._places = places
        self._made: dict[int, FetchedRecord] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places.starts)

    def __iter__(self) -> Iterator[FetchedRecord]:
        """Yield each record once, and keep none."""
        return map(self._record, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> FetchedRecord: ...
    @overload
    def __getitem__(self, place: slice) -> list[FetchedRecord]: ...
    def __getitem__(self, place: int | slice) -> FetchedRecord | list[FetchedRecord]:
        """Return a record, or a list of them."""
        if isinstance(place, slice):
            return [self._record(number) for number in range(len(self))[place]]
        number = range(len(self))[place]
        record = self._made.get(number)
        if record is None:  # the first and the last are asked for again and again
            record = self._made[number] = self._record(number)
        return record

    @property
    def offsets(self) -> Sequence[int]:
        """Offset of each record."""
        return self._places.offsets

    def since(self, offset: int) -> Fetched:
        """Return the records from an offset on."""
        if not len(self) or self.offsets[0] >= offset:
            return self
        first = int(np.searchsorted(self.offsets, offset))
        places = self._places.part(slice(first, None))
        return Fetched(self.topic, self.partition, self._data, places)

    @cached_property
    def columns(self) -> RecordColumns:
        """All records as columns.

        Raises
        ------
        CorruptRecordException
            If a record is not as long as it says.
        """
        data, places = np.frombuffer(self._data, np.uint8), self._places
        stops = np.array(places.stops, np.int64)
        try:
            at = np.array(places.starts, np.int64) + 1  # attributes, which are unused
            delta_ms, at = read_varints(data, at)
            _, at = read_varints(data, at)
            length, at = read_varints(data, at)
            length, value_starts = read_varints(data, at + np.maximum(length, 0))
        except IndexError:
            raise CorruptRecordException("a record ends too late") from None
        head_starts = value_starts + np.maximum(length, 0)
        if not np.all(head_starts < stops):
            raise CorruptRecordException("a record ends too late")
        steps_ms = delta_ms * np.array(places.time_steps, np.int64)
        return RecordColumns(
            self._data,
            np.array(places.offsets, np.int64),
            np.array(places.first_ms, np.int64) + steps_ms,
            value_starts,
            value_starts + length,
            head_starts,
            stops,
        )

    def _record(self, number: int) -> FetchedRecord:
        data, places = self._data, self._places
        step = places.time_steps[number]
        try:
            delta_ms, at = read_varint(data, places.starts[number] + 1)
            _, at = read_varint(data, at)
            key, at = _read_bytes(data, at)
            value, at = _read_bytes(data, at)
            headers, at = _read_headers(data, at)
        except IndexError:
            raise CorruptRecordException("a record ends too late") from None
        if at != places.stops[number]:
            raise CorruptRecordException("a record is not as long as it says")
        return FetchedRecord(
            self.topic,
            self.partition,
            places.offsets[number],
            places.first_ms[number] + step * delta_ms,
            0 if step else _LOG_APPEND_TIME,
            key,
            value,
            headers,
        )


def read_fetched(topic: str, partition: int, data: bytes, from_offset: int) -> tuple[Fetched, int]:
    """Return the records of a fetch from an offset on, and the offset to fetch next.

    Raises
    ------
    CorruptRecordException
        If the data are not what their checksums say.
    UnsupportedCodecError
        If a batch is compressed in an unknown way.
    """
    payloads: list[bytes] = []
    places = _Places([], [], [], [], [])
    size, next_offset = 0, from_offset
    for batch in read_batches(data):
        _add(places, batch, size)
        payloads.append(batch.payload)
        size += len(batch.payload)
        next_offset = max(next_offset, batch.next_offset)
    joined = payloads[0] if len(payloads) == 1 else b"".join(payloads)
    return Fetched(topic, partition, joined, places).since(from_offset), next_offset


def _add(places: _Places, batch: Batch, shift: int) -> None:
    count = len(batch.starts)
    places.offsets.extend(_offsets(batch))
    places.starts.extend([start + shift for start in batch.starts] if shift else batch.starts)
    places.stops.extend([stop + shift for stop in batch.stops] if shift else batch.stops)
    timed = batch.append_ms is None
    places.first_ms.extend([batch.first_ms if batch.append_ms is None else batch.append_ms] * count)
    places.time_steps.extend([int(timed)] * count)


def _offsets(batch: Batch) -> Sequence[int]:
    """Return the offsets of a batch; they have gaps where it was compacted."""
    base, count = batch.base_offset, len(batch.starts)
    if base + count == batch.next_offset:
        return range(base, base + count)
    offsets = []
    for start in batch.starts:
        _, at = read_varint(batch.payload, start + 1)
        offsets.append(base + read_varint(batch.payload, at)[0])
    return offsets


def _read_bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = read_varint(data, at)
    if length < 0:
        return None, at
    return data[at : at + length], at + length


def _read_headers(data: bytes, at: int) -> tuple[list[tuple[str, bytes]], int]:
    count, at = read_varint(data, at)
    headers: list[Any] = []
    for _ in range(count):
        length = data[at]
        if length & _LONG:
            length, at = read_varint(data, at)
            if length < 0:
                raise CorruptRecordException("a header has no name")
        else:
            length, at = length >> 1, at + 1
        stop = at + length
        name = _name(data[at:stop])
        length = data[stop]
        if length & _LONG:
            value, at = _read_bytes(data, stop)
        else:
            at = stop + 1 + (length >> 1)
            value = data[stop + 1 : at]
        headers.append((name, value))
    return headers, at


@lru_cache(maxsize=1024)
def _name(text: bytes) -> str:
    return text.decode("utf-8", "replace")
