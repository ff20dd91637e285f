"""Bodies without an envelope, joined by what they have."""

from __future__ import annotations

from streams.decode import Part
from tests.unit.decode.producers import (
    joined,
)
from tests.unit.decode.records import (
    NAMES,
    REQUEST,
    RESPONSE,
    decode,
    record,
)


def test_bare_halves_join_by_a_header() -> None:
    headers = [("x-request-id", b"r7"), ("x-api-key", b"alice")]
    asked = record({"model": "m", "messages": []}, headers=headers, key=None)
    answered = record({"choices": []}, headers=headers[:1], key=None)
    (row,) = joined(asked, answered)
    assert (row.client, row.status) == (NAMES.of("client", "alice"), 200)


def test_bare_v2_halves_join_by_the_bodys_id() -> None:
    (row,) = joined(record(REQUEST, headers=[]), record(RESPONSE, headers=[]))
    assert (row.label, row.client) == (1, NAMES.of("client", "alice"))


def test_a_bare_half_that_nothing_joins_stands_alone_and_says_so() -> None:
    decoded = decode(record({"model": "m", "messages": []}, headers=[]))
    assert decoded is not None
    assert decoded.part is Part.COMPLETE
    assert decoded.rows[0].params == {"vedette.join": "unjoinable"}
