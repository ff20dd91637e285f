"""What respond must remember over a kill -9: incidents, silences, and how far it had read."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from config.errors import Fatal
from detectors.reranker import Vote
from streams.respond.incident import Incident, Key
from streams.respond.incidents import Cause
from streams.respond.ranking import Case
from streams.respond.silences import Silence, Silences

if TYPE_CHECKING:
    from streams.respond.incidents import Incidents
    from streams.respond.verdicts import VerdictBook

VERSION = 1


class _State(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    next_offsets: dict[str, int]
    watermark_us: int
    incidents: list[Incident]
    young: tuple[str, ...]
    old: tuple[str, ...]
    silences: tuple[Silence, ...]
    recent: list[tuple[Cause, list[tuple[str, int]]]]
    ended: list[tuple[Key, int]]
    offences: list[tuple[str, int]]
    votes: tuple[Vote, ...] = ()
    cases: tuple[Case, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_State)


def dump(incidents: Incidents, book: VerdictBook, next_offsets: dict[str, int]) -> bytes:
    """Return everything as bytes."""
    young, old = incidents.seen.state()
    return _encoder.encode(
        _State(
            version=VERSION,
            next_offsets=next_offsets,
            watermark_us=incidents.watermark_us,
            incidents=list(incidents.open.values()),
            young=young,
            old=old,
            silences=incidents.silences.all(),
            recent=[(cause, list(clients.items())) for cause, clients in incidents.recent.items()],
            ended=list(incidents.ended.items()),
            offences=list(book.offences.items()),
            votes=incidents.ranker.model.votes,
            cases=incidents.ranker.cases,
        )
    )


def load(data: bytes, incidents: Incidents, book: VerdictBook) -> dict[str, int]:
    """Bring back what `dump` returned, and return the offsets to go on from, by partition.

    Raises
    ------
    Fatal
        If another version of Vedette wrote it, or it is damaged.
    """
    try:
        state = _decoder.decode(data)
    except msgspec.DecodeError:
        raise Fatal(
            "the snapshot of respond cannot be read; delete the file respond.incidents below "
            "VEDETTE_STATE_URL to start with no open incidents"
        ) from None
    if state.version != VERSION:
        raise Fatal(f"the snapshot of respond has version {state.version}, this is {VERSION}")
    incidents.watermark_us = state.watermark_us
    incidents.seen.restore(state.young, state.old)
    incidents.silences = Silences(state.silences)
    incidents.ranker.restore(state.votes, state.cases)
    incidents.recent = {cause: OrderedDict(clients) for cause, clients in state.recent}
    incidents.ended = OrderedDict(state.ended)
    book.offences = OrderedDict(state.offences)
    incidents.restored(state.incidents)
    return dict(state.next_offsets)
