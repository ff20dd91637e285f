"""CPU of decoding, beside bare JSON decoders on the same bytes."""

from __future__ import annotations

import gc
import json
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.decoders.samples import plain_json, samples
from config.settings import IngestSettings
from streams.decode import RecordDecoder
from streams.identity import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable

#: Wanted: no decoder costs more than so many bare decodings of the same bytes.
WANTED_RATIO = 8.0
_ROUND_S = 0.02


class Cost(NamedTuple):
    """CPU microseconds a record, the least of several rounds.

    ``decoder_us`` is from bytes to what the event says, ``ours_us`` to the row that is kept, with
    pseudonyms, the payload's keyed hash, and texts searched and masked.
    """

    size_bytes: int
    decoder_us: float
    ours_us: float
    msgspec_us: float
    json_us: float

    @property
    def decoder_ratio(self) -> float:
        """How many bare msgspec decodings the decoder alone costs."""
        return self.decoder_us / self.msgspec_us

    @property
    def ratio(self) -> float:
        """How many bare msgspec decodings the row costs."""
        return self.ours_us / self.msgspec_us


def measure(rounds: int = 15) -> dict[str, Cost]:
    """Measure each format.

    Parameters
    ----------
    rounds
        Rounds of 20 ms; the least disturbed one counts.
    """
    decoder = RecordDecoder(IngestSettings(), Pseudonyms(bytes(32)))
    costs = {}
    for name, record in samples().items():
        text = plain_json(record) or b""
        costs[name] = Cost(
            len(record.value or b""),
            _least_us(partial(decoder.events, record, record.value or b""), rounds),
            _least_us(partial(decoder.decode, record), rounds),
            _least_us(partial(msgspec.json.decode, text), rounds),
            _least_us(partial(json.loads, text), rounds),
        )
    return costs


def _least_us(call: Callable[[], object], rounds: int) -> float:
    began_s = time.process_time()
    call()
    calls = max(1, int(_ROUND_S / max(time.process_time() - began_s, 1e-6)))
    least_s = float("inf")
    gc.collect()
    for _ in range(rounds):
        began_s = time.process_time()
        for _ in range(calls):
            call()
        least_s = min(least_s, (time.process_time() - began_s) / calls)
    return least_s * 1e6
