"""A chunk's records to the columns of those that are usual."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.decode.body import Limits
from streams.decode.envelope import COMPLETE_TYPE, VERSION, TimeBounds
from streams.decode.runs.bodies import FormReader
from streams.decode.runs.envelopes import Origin, present, read_envelopes, read_times
from streams.decode.runs.heads import read_heads
from streams.decode.runs.samples import NO_SAMPLE, read_samples
from streams.records import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from config.settings import IngestSettings
    from streams.decode.runs.bodies import Filled
    from streams.decode.runs.envelopes import Columns
    from streams.decode.runs.heads import Heads
    from streams.identity import Pseudonyms
    from streams.records import RecordColumns
    from streams.roles.base import Record

#: Fewer records are not worth the arrays.
MIN_RECORDS = 32
_SHARED = {
    "specversion": VERSION.encode(),
    "type": COMPLETE_TYPE.encode(),
    "content_type": b"application/json",
}
_NEEDED = ("source", "id", "client")


class Run(NamedTuple):
    """Usual records of a chunk.

    Attributes
    ----------
    at
        Which of the chunk's records these are, rising.
    columns
        Fields of `Interaction`, one value a record; those that no record knows are left out.
    sources, ids
        What tells, with the content, whether an event was sent again.
    timed
        Whether they tell their time themselves.
    broker_ms
        The broker's time of each.
    """

    at: Sequence[int]
    columns: Columns
    sources: Sequence[str]
    ids: Sequence[str]
    timed: bool
    broker_ms: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Run:
        """Return the records from ``start`` to before ``stop``, counted here."""
        if start == 0 and stop == len(self.at):
            return self
        span = slice(start, stop)
        return Run(
            self.at[span],
            {name: column[span] for name, column in self.columns.items()},
            self.sources[span],
            self.ids[span],
            self.timed,
            self.broker_ms[span],
        )

    def pieces(self) -> Iterator[Run]:
        """Yield the parts in which no record of the chunk is left out."""
        breaks = np.flatnonzero(np.diff(self.at) != 1) + 1
        for start, stop in pairwise([0, *breaks.tolist(), len(self.at)]):
            yield self.part(start, stop)

    def pick(self, places: Sequence[int]) -> Run:
        """Return the records at some places, in their order."""
        columns: Columns = {
            name: [column[place] for place in places] for name, column in self.columns.items()
        }
        return Run(
            [self.at[place] for place in places],
            columns,
            [self.sources[place] for place in places],
            [self.ids[place] for place in places],
            self.timed,
            self.broker_ms[np.asarray(places, np.int64)],
        )


class RunDecoder:
    """Decodes usual records together.

    Parameters
    ----------
    settings
        Bounds, and the sources that are read in their own way.
    pseudonyms
        What identities are replaced with.
    """

    def __init__(self, settings: IngestSettings, pseudonyms: Pseudonyms) -> None:
        self._max_record_bytes = settings.max_record_bytes
        self._max_identity_bytes = settings.max_identity_bytes
        self._times = TimeBounds.of(settings)
        self._names = pseudonyms
        self._forms = FormReader(Limits.of(settings))
        self._own_ways = frozenset(settings.sources)

    def decode(self, records: Sequence[Record]) -> Run | None:
        """Return what the usual records of a partition bring; None if few of them are usual.

        Only records that are still as they were fetched are read here. None is refused: one that
        is wrong is not among those that are returned.
        """
        if not isinstance(records, Fetched) or len(records) < MIN_RECORDS:
            return None
        if records.topic in self._own_ways:
            return None
        columns = records.columns
        heads = read_heads(columns, self._max_identity_bytes)
        if heads is None or not _are_complete(heads):
            return None
        heads, bodies = self._read_bodies(columns, heads)
        if len(bodies) < MIN_RECORDS:
            return None
        return self._run(Origin.of(records, heads.at), heads, bodies)

    def _run(self, origin: Origin, heads: Heads, bodies: Sequence[Filled]) -> Run | None:
        forms = [body.form for body in bodies]
        columns = read_envelopes(origin, heads, forms, self._names)
        columns["time_us"] = read_times(origin, heads, self._times)
        self._add_samples(columns, heads, bodies)
        sources: list[Any] = heads.read("source", present) or []
        ids: list[Any] = heads.read("id", present) or []
        run = Run(heads.at, columns, sources, ids, "time" in heads, origin.times_ms)
        if not heads.bad:
            return run
        good = [place for place in range(len(heads.at)) if place not in heads.bad]
        return run.pick(good) if good else None

    def _read_bodies(self, columns: RecordColumns, heads: Heads) -> tuple[Heads, list[Filled]]:
        """Return which records have a usual body, and what it says."""
        limit, read, data = self._max_record_bytes, self._forms.read, columns.data
        starts = columns.value_starts[heads.at].tolist()
        stops = columns.value_stops[heads.at].tolist()
        chosen: list[int] = []
        bodies: list[Filled] = []
        for place, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            body = read(data[start:stop]) if 0 < stop - start <= limit else None
            if body is not None:
                chosen.append(place)
                bodies.append(body)
        return heads.only(chosen), bodies

    def _add_samples(self, columns: Columns, heads: Heads, bodies: Sequence[Filled]) -> None:
        """Add what the arrays hold; records whose arrays are not what they say become bad."""
        samples = read_samples(bodies)
        heads.bad.update(place for place, sample in enumerate(samples) if sample is None)
        read = [sample or NO_SAMPLE for sample in samples]
        columns["input"] = [sample.input for sample in read]
        columns["scores"] = [sample.scores for sample in read]
        columns["label"] = [sample.label for sample in read]
        hash_of = self._names.payload_hash
        columns["input_hash"] = [
            hash_of(body.form.head, sample.input) for body, sample in zip(bodies, read, strict=True)
        ]


def _are_complete(heads: Heads) -> bool:
    return _SHARED.items() <= heads.constants.items() and all(name in heads for name in _NEEDED)
