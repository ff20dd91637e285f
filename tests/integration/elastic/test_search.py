"""The commands find the same documents in Elasticsearch as in SQLite."""

from __future__ import annotations

import json

import msgspec
import pytest

from streams.cli import audit
from streams.elastic.document import Place, with_place
from streams.elastic.search import ElasticReader
from streams.store.documents import alert_row, audit_rows
from streams.store.search import Query, SqliteReader, open_reader
from streams.store.sqlite import AuditWriter
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, BASE_US, CHAT, FULL, frame

pytestmark = pytest.mark.elastic

PLACE = Place("vedette/vedette.audit.v1/0/0123456789ab", 0, b"h" * 32, b"l" * 32)
QUERIES = [
    Query(),
    Query(limit=2),
    Query(client="u1_bob"),
    Query(model="digits", kind="event"),
    Query(tenant="t1"),
    Query(rule="extraction.coverage"),
    Query(text="answered 200"),
    Query(since_us=BASE_US + 1000),  # its dates are of milliseconds
    Query(until_us=BASE_US + 1000),
    Query(client="nobody"),
    Query(ids=json.dumps([FULL["id"], "unknown"])),
    Query(ids="[]"),
]


@pytest.fixture
def readers(client, namespace, tmp_path):
    rows = [*audit_rows(frame(FULL, BARE, CHAT), namespace), alert_row(alert(), namespace)]
    for number, row in enumerate(rows):
        dataset = "alert" if row.kind == "alert" else "audit"
        document = msgspec.json.decode(with_place(row.body, PLACE._replace(position=number)))
        client.create(
            index=f"logs-vedette.{dataset}-{namespace}",
            id=str(number),
            document=document,
            refresh=True,
        )
    writer = AuditWriter(tmp_path / "audit.sqlite")
    writer.open()
    writer.submit(rows).result(10)
    writer.close()
    with open_reader(tmp_path / "audit.sqlite") as connection:
        yield SqliteReader(connection), ElasticReader(client, namespace)


def shape(documents):
    """Return what both stores know; two documents of one moment have no order."""
    return sorted(
        (item.ts, item.event_id, item.kind, item.client, item.model) for item in documents
    )


def test_both_stores_find_the_same(readers):
    embedded, elastic = readers
    for query in QUERIES:
        if query.limit >= 4:
            assert shape(elastic.search(query)) == shape(embedded.search(query)), query
            assert shape(elastic.stream(query)) == shape(embedded.stream(query)), query
        else:
            assert len(elastic.search(query)) == len(embedded.search(query)) == query.limit
    assert elastic.get(FULL["id"]).client == embedded.get(FULL["id"]).client == "u1_alice"
    assert elastic.get("nobody") is None


def test_the_command_searches_elasticsearch(readers, elastic, monkeypatch, capsys):
    monkeypatch.setenv("VEDETTE_INDEX__STORE", "elasticsearch")
    monkeypatch.setenv("VEDETTE_ELASTIC__URLS", json.dumps(list(elastic.urls)))
    monkeypatch.setenv("VEDETTE_ELASTIC__NAMESPACE", elastic.namespace)
    audit.app(
        ["search", "--client", "u1_alice", "--json"],
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"]["id"] == FULL["id"]
