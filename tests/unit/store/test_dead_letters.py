"""Dead letters become documents that say why, and nothing of what they held."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from config.errors import PoisonRecord
from streams.dlq import dead_letter
from streams.elastic.streams import stream_of
from streams.roles.index import build_rows
from streams.store.dead_letters import dead_letter_row
from streams.topics import EVENTS, dlq
from tests.unit.respond.fakes import FakeRecord

SECRET = b'{"prompt":"sesame"}'


def letter(offset=7):
    """Return a record as it lies in a dead-letter topic."""
    record = FakeRecord(EVENTS, 41, SECRET, partition=2)
    made = dead_letter(
        record,
        PoisonRecord("bad_json", "not JSON"),
        stage="ingest",
        group="vedette-ingest",
        failed_at_s=1_790_000_000.0,
    )
    return FakeRecord(
        made.topic, offset, made.value, headers=tuple(made.headers), timestamp=1_790_000_001_000
    )


def test_a_dead_letter_says_where_it_came_from_and_why():
    row = dead_letter_row(letter())
    document = json.loads(row.body)
    assert (row.kind, row.event_id) == ("dlq", f"{dlq(EVENTS)}-0-7")
    assert document["event"]["kind"] == "pipeline_error"
    assert document["error"]["code"] == "bad_json"
    assert document["@timestamp"] == "2026-09-21T14:13:20.000000Z"
    assert document["vedette"]["dead_letter"] == {
        "topic": EVENTS,
        "partition": 2,
        "offset": 41,
        "stage": "ingest",
        "reason": "bad_json",
        "bytes": len(SECRET),
    }
    assert b"sesame" not in row.body


headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "__dlq.errors.topic",
                "__dlq.errors.offset",
                "__dlq.errors.partition",
                "vedette-error-class",
                "vedette-stage",
                "vedette-failed-at",
                "other",
            ]
        ),
        st.binary(max_size=300),
    ),
    max_size=8,
)


@given(headers, st.none() | st.binary(max_size=40), st.integers(-(1 << 62), 1 << 62))
def test_whatever_lies_there_becomes_a_document_of_bounded_size(headers, value, timestamp):
    record = FakeRecord(dlq(EVENTS), 3, value, headers=tuple(headers), timestamp=timestamp)
    rows, bad = build_rows([record])
    assert not bad
    assert len(rows[0].body) < 4000
    json.loads(rows[0].body)


def test_they_go_to_a_stream_of_their_own():
    assert stream_of(dlq(EVENTS), "t") == "logs-vedette.dlq-t"
