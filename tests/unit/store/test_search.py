"""Searching filters as told, takes hostile strings literally, and never writes."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.store.search import (
    AuditUnavailable,
    Query,
    get,
    open_reader,
    search,
    statistics,
)
from streams.store.sqlite import AuditWriter
from tests.unit.store.samples import BASE_US, row

HOSTILE = "u1'; DROP TABLE documents; --"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("search") / "with space?mode=rwc#.sqlite"
    writer = AuditWriter(made)
    writer.open()
    rows = [row(number) for number in range(30)]
    rows.append(row(30, client=HOSTILE, model="fraud"))
    rows.append(row(31, kind="alert", rule_id="extraction.coverage", event_id="a" * 32))
    writer.submit(rows).result(10)
    writer.close()
    return made


@pytest.fixture
def connection(path):
    with open_reader(path) as opened:
        yield opened


def ids(found):
    return [int(item.event_id.split("-")[2]) for item in found]


def test_newest_come_first_and_are_limited(connection):
    assert ids(search(connection, Query(kind="event", limit=3))) == [30, 29, 28]


def test_filters_combine(connection):
    query = Query(
        client="u1_0", model="digits", since_us=BASE_US + 5_000_000, until_us=BASE_US + 12_000_000
    )
    assert ids(search(connection, query)) == [9, 6]


def test_kinds_are_told_apart(connection):
    (alert,) = search(connection, Query(kind="alert"))
    assert alert.rule_id == "extraction.coverage"
    assert len(search(connection, Query())) == 32


def test_a_tenant_without_documents_has_none(connection):
    assert search(connection, Query(tenant="t2")) == []


def test_sql_in_a_filter_is_only_a_string(connection):
    (found,) = search(connection, Query(client=HOSTILE))
    assert found.client == HOSTILE
    assert search(connection, Query(model="' OR '1'='1")) == []
    assert get(connection, "' OR 1=1 --") is None
    assert len(search(connection, Query())) == 32


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",))))
def test_any_text_can_be_searched_for(connection, text):
    assert all(item.client == text for item in search(connection, Query(client=text)))
    assert get(connection, text) is None


@pytest.mark.parametrize(("limit", "count"), [(-1, 0), (0, 0), (10**12, 32)])
def test_limits_are_bounded(connection, limit, count):
    assert len(search(connection, Query(limit=limit))) == count


def test_one_document_is_found_by_its_id(connection):
    assert get(connection, row(7).event_id).body == row(7).body


def test_statistics_count(connection):
    found = statistics(connection)
    assert found.documents == 32
    assert found.by_kind == {"alert": 1, "event": 31}
    assert found.by_model == {"digits": 31, "fraud": 1}
    assert found.by_rule == {"extraction.coverage": 1}
    assert (found.first_us, found.last_us) == (BASE_US, BASE_US + 31_000_000)


def test_a_reader_cannot_write(connection):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM documents")


def test_the_newest_of_a_client_come_from_an_index(connection):
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT seq FROM documents WHERE client = ? AND ts >= ? "
        "ORDER BY ts DESC, seq DESC LIMIT 10",
        ("u1_0", 0),
    ).fetchall()
    assert "documents_client_ts" in plan[0][3]
    assert not any("TEMP B-TREE" in step[3] for step in plan)


def test_a_reader_sees_what_a_working_writer_has_committed(tmp_path):
    writer = AuditWriter(tmp_path / "audit.sqlite")
    writer.open()
    with open_reader(tmp_path / "audit.sqlite") as reader:
        assert search(reader, Query()) == []
        writer.submit([row(1)]).result(10)
        assert len(search(reader, Query())) == 1
    writer.close()


def test_a_missing_database_is_explained(tmp_path):
    with pytest.raises(AuditUnavailable, match="run the index role"), open_reader(tmp_path / "no"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_database_is_refused(tmp_path):
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE documents (x)")
    connection.close()
    with pytest.raises(AuditUnavailable, match="no audit database"), open_reader(foreign):
        pass
    (tmp_path / "text").write_text("hello " * 500)
    with pytest.raises(AuditUnavailable, match="cannot be read"), open_reader(tmp_path / "text"):
        pass
