"""CPU of decoding records, beside a bare decoding of the same bytes.

The bytes of a record are its value and, in binary mode, the headers that make up its envelope. Bare
is `msgspec` decoding the value to Python's own types, the JSON that texts of it hold too (the
messages of a span), and a loop that decodes the headers to a dict of texts; nothing is checked.
Beside it stands the value alone, which is less than what has to be decoded.
"""

from __future__ import annotations

import gc
import json
import time
from collections import deque
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.decoders.samples import nested_json, plain_json, samples
from config.settings import IngestSettings
from streams.decode import RecordDecoder
from streams.identity import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.roles.base import Record

#: Wanted: no decoder costs more than so many bare decodings of the same bytes.
WANTED_RATIO = 8.0
_ROUND_S = 0.02


class Cost(NamedTuple):
    """CPU microseconds a record, the least of several rounds.

    ``decoder_us`` is from bytes to what the event says, ``row_us`` to the row that is kept, with
    pseudonyms, the payload's keyed hash, and texts searched and masked. ``value_us`` is `msgspec`
    on the value alone, ``bare_us`` with headers and nested JSON, ``json_us`` the standard library
    on the value.
    """

    size_bytes: int
    decoder_us: float
    row_us: float
    value_us: float
    bare_us: float
    json_us: float

    @property
    def ratio(self) -> float:
        """How many bare decodings of the same bytes the decoder costs."""
        return self.decoder_us / self.bare_us

    @property
    def value_ratio(self) -> float:
        """How many bare decodings of the value alone the decoder costs, headers and all."""
        return self.decoder_us / self.value_us

    @property
    def row_ratio(self) -> float:
        """How many bare decodings of the same bytes the row costs."""
        return self.row_us / self.bare_us


def measure(rounds: int = 15) -> dict[str, Cost]:
    """Measure each format.

    Parameters
    ----------
    rounds
        Rounds of 20 ms for each of the figures, in turn; the least disturbed one counts.
    """
    decoder = RecordDecoder(IngestSettings(), Pseudonyms(bytes(32)))
    return {name: _cost(decoder, records, rounds) for name, records in samples().items()}


def _cost(decoder: RecordDecoder, records: Sequence[Record], rounds: int) -> Cost:
    texts = [plain_json(record) for record in records]
    wires = [(record, record.value or b"") for record in records]
    decode = msgspec.json.decode
    decode = msgspec.json.decode
    headers = [record.headers for record in records]
    nested = [text for record in records for text in nested_json(record)]
    calls: list[Callable[[], object]] = [
        lambda: _drain(starmap(decoder.events, wires)),
        lambda: _drain(map(decoder.decode, records)),
        lambda: _drain(map(decode, texts)),
        lambda: (
            _drain(map(_decode_bare, headers, texts))
            if headers[0]
            else _drain(map(decode, [*texts, *nested]))
        ),
        lambda: _drain(map(json.loads, texts)),
    ]
    sizes = [len(value) for _, value in wires]
    return Cost(sum(sizes) // len(sizes), *_least_us(calls, len(records), rounds))


def _drain(results: Iterable[object]) -> object:
    """Make the results and drop them, at no cost of its own."""
    return deque(results, maxlen=0)


def _decode_bare(headers: Sequence[tuple[str, bytes]], text: bytes) -> object:
    return {name: value.decode() for name, value in headers}, msgspec.json.decode(text)


def _least_us(calls: Sequence[Callable[[], object]], records: int, rounds: int) -> list[float]:
    """Return what each call costs for one of its records, measured in turn."""
    repeats = [max(1, int(_ROUND_S / max(_seconds(call, 1), 1e-6))) for call in calls]
    least_s = [float("inf")] * len(calls)
    gc.collect()
    for _ in range(rounds):
        for place, (call, count) in enumerate(zip(calls, repeats, strict=True)):
            least_s[place] = min(least_s[place], _seconds(call, count) / count)
    return [seconds / records * 1e6 for seconds in least_s]


def _seconds(call: Callable[[], object], count: int) -> float:
    began_s = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - began_s
