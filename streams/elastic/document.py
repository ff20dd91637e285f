"""A record of the trail as a document of Elasticsearch, and back.

A record is JSON with sorted keys, and its hash is taken of exactly that. The document is the
record plus its place in the log (``event.hash``, ``event.sequence``, ``vedette.chain``). What
Elasticsearch adds or re-arranges does not matter: `record_of` takes the record out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENT = b'"event":{'
_sorted = msgspec.json.Encoder(order="sorted")
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class Place(NamedTuple):
    """Where a record lies: log, position in it, hash, and link of the chain."""

    origin: str
    position: int
    leaf: bytes
    link: bytes


def base36(number: int) -> str:
    """Write a number with 36 digits, short for an id.

    Examples
    --------
    >>> base36(0), base36(35), base36(36)
    ('0', 'z', '10')
    """
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
        if not number:
            return digits


def id_prefix(origin: str) -> str:
    """Return what the ids of a log's documents begin with: no two logs share it."""
    return base36(int(origin.rpartition("/")[2], 16))


def with_place(record: bytes, place: Place) -> bytes:
    """Return the document of a record, without decoding it.

    ``"event":{`` cannot stand in a text of the record, whose quotes are escaped, and ``vedette``
    is the last of the sorted names.
    """
    head, event, tail = record.partition(_EVENT)
    hashed = f'"hash":"{place.leaf.hex()}","sequence":{place.position},'.encode()
    chain = f',"chain":{{"link":"{place.link.hex()}","log":"{place.origin}"}}}}}}'.encode()
    return b"".join((head, event, hashed, tail[:-2], chain))


def without_content(record: bytes, place: Place, *, why: str) -> bytes:
    """Return the document of a record that was refused: its place without its content."""
    found = msgspec.json.decode(record)
    kept = {
        "@timestamp": found["@timestamp"],
        "ecs": found["ecs"],
        "data_stream": found["data_stream"],
        "event": {
            **{name: found["event"][name] for name in ("kind", "id", "module", "dataset")},
            "hash": place.leaf.hex(),
            "sequence": place.position,
        },
        "message": "the content was refused and lies in the dead letters",
        "tags": ["withheld"],
        "vedette": {
            "chain": {"link": place.link.hex(), "log": place.origin, "withheld": why},
        },
    }
    return _sorted.encode(kept)


def record_of(source: Mapping[str, Any]) -> bytes | None:
    """Return the record of a document as it was hashed, None if its content was withheld."""
    event, own = dict(source.get("event", {})), dict(source.get("vedette", {}))
    for added in ("hash", "sequence", "ingested"):
        event.pop(added, None)
    chain = own.pop("chain", {})
    if isinstance(chain, dict) and "withheld" in chain:
        return None
    return _sorted.encode({**source, "event": event, "vedette": own})
