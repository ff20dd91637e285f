"""The templates and the documents agree, and both follow ECS."""

from __future__ import annotations

import json

import msgspec
import pytest

from streams.content.access import access_row, new_access
from streams.elastic.document import Place, with_place, without_content
from streams.elastic.streams import checkpoint_document
from streams.elastic.templates import load_resources
from streams.ledger.log import Segment
from streams.store.dead_letters import dead_letter_row
from streams.store.documents import alert_row, audit_rows
from streams.store.erasure import Erased, erasure_row
from streams.store.window_document import window_row
from streams.store.windows import DEFAULT_RULES, Windows
from tests.unit.kibana.test_objects import FIELDS
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, CHAT, FULL, frame
from tests.unit.store.test_dead_letters import letter

PLACE = Place("vedette/vedette.audit.v1/0/0123456789ab", 7, b"h" * 32, b"l" * 32)
NOTE = "vedette/x/0/0123456789ab\n1\nAA==\nchain AA==\ntime 2026-11-22T10:00:00.000000Z\n\n— v x\n"
SEGMENT = Segment(origin="vedette/x/0/0123456789ab", first=0, size=1, blocks=("00",), note=NOTE)
ROWS = {
    **{f"interaction-{n}": row for n, row in enumerate(audit_rows(frame(FULL, BARE, CHAT)))},
    "alert": alert_row(alert()),
    "dead letter": dead_letter_row(letter()),
    "access": access_row(msgspec.json.encode(new_access("content-search", "why", ids=["a"]))),
    "content": audit_rows(frame({**CHAT, "content_key": "2026-11-22.ab", "content": b"x"}))[0],
    "erasure": erasure_row(Erased(PLACE.origin, (1, 2, 9)), "request"),
}


def window_of(record):
    windows = Windows("log", DEFAULT_RULES)
    windows.add(audit_rows(frame(record)), 0)
    (closed,) = windows.flush()
    return window_row(closed).body


DOCUMENTS = {
    **{name: json.loads(with_place(row.body, PLACE)) for name, row in ROWS.items()},
    "withheld": json.loads(without_content(ROWS["alert"].body, PLACE, why="too_large")),
    "checkpoint": json.loads(checkpoint_document(SEGMENT, "t")[2]),
    "window": json.loads(window_of(FULL)),
}
#: ECS 9.4: which types go with which categories of events.
TYPES = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end"}
    | {"info", "start", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "database": {"access", "change", "info", "error", "deletion"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
}
KINDS = {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"}


def leaves(document, path=""):
    """Yield the path of every value; what lies under a flattened field is one value."""
    for name, value in document.items():
        full = f"{path}{name}"
        if isinstance(value, dict) and FIELDS.get(full) not in ("flattened", "histogram"):
            yield from leaves(value, f"{full}.")
        else:
            yield full


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_of_a_document_is_mapped(name):
    assert [path for path in leaves(DOCUMENTS[name]) if path not in FIELDS] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_kind_category_and_type_are_those_of_ecs(name):
    document = DOCUMENTS[name]
    assert {"@timestamp", "ecs", "data_stream", "event", "message", "tags"} <= document.keys()
    event = document["event"]
    assert event["kind"] in KINDS
    if name == "withheld":
        return
    allowed = set.union(*(TYPES[category] for category in event["category"]))
    assert set(event["type"]) <= allowed
    stream = document["data_stream"]
    assert event["dataset"] == stream["dataset"]
    kind = "metrics" if event["kind"] == "metric" else "logs"
    assert (stream["type"], event["module"]) == (kind, "vedette")


@pytest.mark.parametrize("name", ROWS)
def test_records_have_sorted_names_and_end_with_our_own(name):
    decoded = msgspec.json.decode(ROWS[name].body)
    assert msgspec.json.encode(decoded, order="sorted") == ROWS[name].body
    assert list(decoded)[-1] == "vedette"


def test_our_templates_win_over_those_of_elastic():
    indices = [item for item in load_resources(1) if item.kind == "index"]
    assert {item.body["priority"] for item in indices} == {501}
    for item in indices:
        assert item.body["index_patterns"] == [f"{item.name}-*"]
        custom = f"{item.name}@custom"
        assert item.body["composed_of"][-1] == custom
        assert item.body["ignore_missing_component_templates"] == [custom]
        assert item.body["template"]["data_stream_options"]["failure_store"]["enabled"] is True


def test_our_own_fields_are_strict_and_the_rest_is_not_indexed():
    mappings = {
        item.name: item.body["template"].get("mappings", {})
        for item in load_resources(1)
        if item.kind == "component"
    }
    assert mappings["vedette-ecs-mappings"]["dynamic"] is False
    assert mappings["vedette-mappings"]["properties"]["vedette"]["dynamic"] == "strict"
