"""A chunk's records to the columns of those that are usual."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.decode.body import Limits
from streams.decode.envelope import COMPLETE_TYPE, VERSION, TimeBounds
from streams.decode.runs.bodies import FormReader, lift
from streams.decode.runs.envelopes import present, read_envelopes, read_times
from streams.decode.runs.heads import read_heads
from streams.decode.runs.samples import NO_SAMPLE, read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.settings import IngestSettings
    from streams.decode.runs.bodies import Form, Lifted
    from streams.decode.runs.envelopes import Columns
    from streams.decode.runs.heads import Heads
    from streams.identity import Pseudonyms
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
    """

    at: Sequence[int]
    columns: Columns
    sources: Sequence[str]
    ids: Sequence[str]
    timed: bool

    def part(self, start: int, stop: int) -> Run:
        """Return the records from ``start`` to before ``stop``, counted here."""
        if start == 0 and stop == len(self.at):
            return self
        span = slice(start, stop)
        columns = {name: column[span] for name, column in self.columns.items()}
        return Run(self.at[span], columns, self.sources[span], self.ids[span], self.timed)

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

        No record is refused here: one that is wrong is not among those that are returned.
        """
        if len(records) < MIN_RECORDS or records[0].topic in self._own_ways:
            return None
        heads = read_heads(records, self._max_identity_bytes)
        if heads is None or not _are_complete(heads):
            return None
        heads, forms, bodies = self._read_bodies(records, heads)
        if len(forms) < MIN_RECORDS:
            return None
        chosen = [records[place] for place in heads.at]
        columns = read_envelopes(chosen, heads, forms, self._names)
        columns["time_us"] = read_times(chosen, heads, self._times)
        self._add_samples(columns, heads, forms, bodies)
        sources: list[Any] = heads.read("source", present) or []
        ids: list[Any] = heads.read("id", present) or []
        run = Run(heads.at, columns, sources, ids, "time" in heads.columns)
        if not heads.bad:
            return run
        good = [place for place in range(len(heads.at)) if place not in heads.bad]
        return run.pick(good) if good else None

    def _read_bodies(
        self, records: Sequence[Record], heads: Heads
    ) -> tuple[Heads, list[Form], list[Lifted]]:
        """Return which records have a usual body, what surrounds its arrays, and the arrays."""
        limit, read = self._max_record_bytes, self._forms.read
        chosen: list[int] = []
        forms: list[Form] = []
        bodies: list[Lifted] = []
        for place, number in enumerate(heads.at):
            value = records[number].value
            body = lift(value) if value is not None and len(value) <= limit else None
            form = None if body is None else read(body.rest)
            if form is not None and body is not None:
                chosen.append(place)
                forms.append(form)
                bodies.append(body)
        return heads.only(chosen), forms, bodies

    def _add_samples(
        self, columns: Columns, heads: Heads, forms: Sequence[Form], bodies: Sequence[Lifted]
    ) -> None:
        """Add what the arrays hold; records whose arrays are not what they say become bad."""
        samples = read_samples(forms, bodies)
        heads.bad.update(place for place, sample in enumerate(samples) if sample is None)
        read = [sample or NO_SAMPLE for sample in samples]
        columns["input"] = [sample.input for sample in read]
        columns["scores"] = [sample.scores for sample in read]
        columns["label"] = [sample.label for sample in read]
        hash_of = self._names.payload_hash
        columns["input_hash"] = [
            hash_of(form.head, sample.input) for form, sample in zip(forms, read, strict=True)
        ]


def _are_complete(heads: Heads) -> bool:
    shared = all(heads.constant(name) == value for name, value in _SHARED.items())
    return shared and all(name in heads.columns for name in _NEEDED)
