"""A record keeps its hash on its way through Elasticsearch."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.elastic.document import (
    Place,
    base36,
    id_prefix,
    record_of,
    with_place,
    without_content,
)
from streams.store.documents import alert_row, audit_rows
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, CHAT, FULL, frame

PLACE = Place("vedette/vedette.audit.v1/2/0123456789ab", 41, b"h" * 32, b"l" * 32)
RECORDS = [*(row.body for row in audit_rows(frame(FULL, BARE, CHAT))), alert_row(alert()).body]


@pytest.mark.parametrize("record", RECORDS)
def test_the_document_is_the_record_and_its_place(record):
    document = json.loads(with_place(record, PLACE))
    assert document["event"]["hash"] == PLACE.leaf.hex()
    assert document["event"]["sequence"] == 41
    assert document["vedette"]["chain"] == {"link": PLACE.link.hex(), "log": PLACE.origin}
    assert record_of(document) == record


@pytest.mark.parametrize("record", RECORDS)
def test_rearranging_and_additions_of_the_server_do_not_matter(record):
    document = json.loads(with_place(record, PLACE))
    document["event"]["ingested"] = "2026-11-22T10:00:00Z"
    shuffled = dict(sorted(document.items(), reverse=True))
    again = json.loads(json.dumps(shuffled, indent=3, ensure_ascii=True))
    assert record_of(again) == record


def test_any_other_change_changes_the_record():
    document = json.loads(with_place(RECORDS[0], PLACE))
    document["user"]["id"] = "u1_somebody"
    assert record_of(document) != RECORDS[0]
    document = json.loads(with_place(RECORDS[0], PLACE))
    document["added"] = True
    assert record_of(document) != RECORDS[0]


@given(st.text(max_size=60), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_hostile_names_cannot_move_the_place(text, number):
    hostile = {
        **FULL,
        "client": text + '"event":{"hash":"x"}',
        "user_agent": '"}},"vedette":{"chain":{',
        "groups": [('"event":{', '"event":{')],
        "confidence": number,
    }
    (row,) = audit_rows(frame(hostile))
    document = msgspec.json.decode(with_place(row.body, PLACE))
    assert document["event"]["hash"] == PLACE.leaf.hex()
    assert document["user"]["id"] == hostile["client"]
    assert record_of(document) == row.body


@pytest.mark.parametrize("record", RECORDS)
def test_a_withheld_record_keeps_its_place_and_nothing_of_its_content(record):
    document = json.loads(without_content(record, PLACE, why="too_large"))
    assert record_of(document) is None
    assert document["event"]["hash"] == PLACE.leaf.hex()
    assert document["event"]["id"] == json.loads(record)["event"]["id"]
    assert "user" not in document


@given(st.integers(0, 1 << 80))
def test_base_36_is_read_back_by_python(number):
    assert int(base36(number), 36) == number


def test_ids_of_different_logs_begin_differently():
    assert id_prefix("vedette/a/0/00000000000a") == "a"
    assert id_prefix("vedette/a/0/00000000000b") == "b"
