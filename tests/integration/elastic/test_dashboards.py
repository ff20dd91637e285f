"""Every panel of every dashboard finds something in indexed samples."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from streams.elastic.document import Place, with_place
from streams.elastic.streams import checkpoint_document, window_stream
from streams.kibana.dashboards import DASHBOARDS, SEARCHES
from streams.kibana.queries import kql_query, panel_search
from streams.kibana.rule import detection_rule
from streams.ledger.log import Log
from streams.ledger.merkle import leaf_hash
from streams.ledger.note import ensure_signer
from streams.respond.times import iso
from streams.store.dead_letters import dead_letter_row
from streams.store.documents import alert_row, audit_rows
from streams.store.window_document import window_row
from streams.store.windows import DEFAULT_RULES, Windows
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, CHAT, FULL, frame
from tests.unit.store.test_dead_letters import letter

pytestmark = pytest.mark.elastic

NAMESPACE = "panels"
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
#: Measures whose count may honestly be nought in good times.
MAY_BE_NOUGHT = {"Withheld"}


@pytest.fixture(scope="module")
def indexed(ready, tmp_path_factory):
    from streams.elastic.client import open_client
    from tests.integration.elastic.conftest import elastic_settings

    place = Place("vedette/vedette.audit.v1/0/0123456789ab", 7, b"h" * 32, b"l" * 32)
    failed = {**FULL, "id": "x-1", "status": 500, "source_offset": 42}
    rows = [
        *audit_rows(frame(FULL, BARE, CHAT, failed), NAMESPACE),
        alert_row(alert(), NAMESPACE),
        alert_row(alert(id="d" * 32, kind="drift"), NAMESPACE),
        dead_letter_row(letter(), NAMESPACE),
    ]
    log = Log.begin(place.origin)
    log.append([leaf_hash(b"x")])
    signer = ensure_signer(tmp_path_factory.mktemp("keys") / "audit.key", "vedette")
    with open_client(elastic_settings(ready)) as client:
        for number, row in enumerate(rows):
            dataset = {"event": "audit"}.get(row.kind, row.kind)
            client.create(
                index=f"logs-vedette.{dataset}-{NAMESPACE}",
                id=str(number),
                document=msgspec.json.decode(with_place(row.body, place)),
            )
        segment = log.close_segment(signer, iso(datetime.now(UTC)))
        stream, identity, body = checkpoint_document(segment, NAMESPACE)
        client.create(index=stream, id=identity, document=msgspec.json.decode(body))
        windows = Windows(place.origin, DEFAULT_RULES)
        for closed in (*windows.add(rows, 0), *windows.flush()):
            row = window_row(closed, NAMESPACE)
            client.create(
                index=window_stream(NAMESPACE), id=row.id, document=msgspec.json.decode(row.body)
            )
        client.indices.refresh(index=f"*-vedette.*-{NAMESPACE}")
        yield client


@pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{d.key}-{p.key}" for d, p in PANELS]
)
def test_every_panel_finds_something(indexed, dashboard, panel):
    index = panel.view.pattern.replace("*", NAMESPACE)
    answer = indexed.search(index=index, **panel_search(panel))
    buckets = [answer["aggregations"]]
    for level in (
        *(f"terms-{number}" for number in range(len(panel.terms))),
        *(["time"] * panel.over_time),
    ):
        buckets = [inner for bucket in buckets for inner in bucket[level]["buckets"]]
    assert buckets
    for number, measure in enumerate(panel.measures):
        found = [bucket[f"measure-{number}"] for bucket in buckets]
        if measure.label not in MAY_BE_NOUGHT:
            assert any(item["doc_count"] for item in found), measure.label
        if "value" in found[0]:
            values = [item["value"] for item in found]
            plain = [
                value.get("value", next(iter(value.get("values", {"": None}).values())))
                for value in values
            ]
            assert any(value is not None for value in plain), measure.label


@pytest.mark.parametrize("search", SEARCHES, ids=[search.key for search in SEARCHES])
def test_every_saved_search_finds_something_with_all_its_columns(indexed, search):
    index = search.view.pattern.replace("*", NAMESPACE)
    answer = indexed.search(index=index, query=kql_query(search.kql), fields=list(search.columns))
    hits = answer["hits"]["hits"]
    assert hits
    assert {name for hit in hits for name in hit["fields"]} >= set(search.columns)


def test_the_detection_rule_finds_alerts_and_nothing_else(indexed):
    body = detection_rule()
    index = ",".join(pattern.replace("*", NAMESPACE) for pattern in body["index"])
    hits = indexed.search(index=index, query=kql_query(body["query"]))["hits"]["hits"]
    assert {hit["_source"]["event"]["kind"] for hit in hits} == {"alert"}
    everywhere = indexed.search(
        index=f"logs-vedette.*-{NAMESPACE}", query=kql_query(body["query"]), size=0
    )
    assert everywhere["hits"]["total"]["value"] == len(hits)
