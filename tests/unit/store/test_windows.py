"""Windows add up every row of a log once, however the log is cut, killed and replayed."""

from __future__ import annotations

import math
import sqlite3
import time
from collections import Counter
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli import audit
from streams.store import windows as module
from streams.store.documents import alert_row, audit_rows
from streams.store.erasure import Erasure
from streams.store.logs import Logs, SegmentRules
from streams.store.search import Query, SqliteReader, open_reader
from streams.store.sqlite import AuditWriter
from streams.store.totals import Totals, bins_of, middle_of
from streams.store.window_document import window_row
from streams.store.windows import Closed, WindowRules, Windows
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, BASE_US, CHAT, FULL, frame

MINUTE_US = 60_000_000
START_US = BASE_US - BASE_US % MINUTE_US
RULES = WindowRules(MINUTE_US, MINUTE_US // 2)
SOURCE = ("vedette.audit.v1", 0)


def calls(*moments_s, **changes):
    """Return a row for each moment, in seconds after the start of a minute."""
    return audit_rows(
        frame(
            *(
                {
                    **FULL,
                    "id": f"i-{number}-{moment_s}",
                    "time": START_US + int(moment_s * 1e6),
                    **changes,
                }
                for number, moment_s in enumerate(moments_s)
            )
        )
    )


def summed(closed):
    """Return requests by model, tenant and start."""
    found = Counter()
    for item in closed:
        found[item.model, item.tenant, item.start_us] += item.totals.requests
    return found


def test_a_window_is_closed_when_event_time_has_passed_it():
    windows = Windows("log", RULES)
    assert windows.add(calls(1, 2, 59.9), 0) == []
    assert windows.add(calls(89.9), 3) == []
    (closed,) = windows.add(calls(90), 4)
    assert (closed.start_us, closed.totals.requests) == (START_US, 3)


def test_a_late_row_opens_another_part_and_waits_like_any_other():
    windows = Windows("log", RULES)
    first = windows.add(calls(1, 200), 0)
    assert windows.add(calls(2, 3), 2) == []
    late = windows.add(calls(240), 4)
    assert [item.totals.requests for item in (*first, *late)] == [1, 2]
    assert {item.start_us for item in (*first, *late)} == {START_US}
    assert first[0].id != late[0].id


def test_what_is_counted():
    rows = [
        *calls(1, status=500, latency_us=900, client="a"),
        *calls(2, status=429, latency_us=100, client="b"),
        *calls(3, status=200, latency_us=None, confidence=None, client="a", scanned=False),
    ]
    windows = Windows("log", RULES)
    windows.add(rows, 0)
    done = windows.add([alert_row(alert(time="2026-11-22T10:00:00Z"))], 3)
    closed = {item.start_us: item for item in (*done, *windows.flush())}
    item = closed[START_US]
    totals = item.totals
    assert (totals.requests, totals.errors, totals.denied, totals.unscanned) == (3, 2, 1, 1)
    assert (totals.latency_sum, totals.latency_max, item.clients) == (1000, 900, 2)
    assert totals.confidence_count == 2
    assert sum(item.totals.alerts for item in closed.values()) == 1


def test_models_and_tenants_are_counted_apart():
    windows = Windows("log", RULES)
    windows.add([*calls(1), *calls(2, model="other"), *calls(3, tenant=None)], 0)
    assert sorted(summed(windows.flush()).values()) == [1, 1, 1]


def test_rows_that_are_no_calls_are_not_counted():
    windows = Windows("log", RULES)
    (row,) = calls(1)
    assert windows.add([row._replace(measures=None)], 0) == []
    assert windows.seconds_until_due() is None


def test_invented_models_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 10)
    windows = Windows("log", RULES)
    closed = []
    for number in range(100):
        closed += windows.add(calls(1, model=f"m{number}"), number)
    assert len(closed) == 90
    assert len(summed([*closed, *windows.flush()])) == 100


@given(
    moments=st.lists(
        st.tuples(st.floats(0, 600), st.sampled_from("ab"), st.integers(0, 3)), max_size=60
    ),
    cuts=st.sets(st.integers(0, 60)),
)
def test_cuts_and_restarts_change_nothing(moments, cuts):
    rows = [
        row
        for moment_s, model, client in moments
        for row in calls(moment_s, model=model, client=f"c{client}")
    ]
    whole = Windows("log", RULES)
    expected = [item for n, row in enumerate(rows) for item in whole.add([row], n)]
    expected += whole.flush()
    saved, found, first = b"", [], 0
    for end in [*sorted(cut for cut in cuts if cut < len(rows)), len(rows)]:
        windows = Windows("log", RULES, saved)
        for place in range(first, end):
            found += windows.add([rows[place]], place)
        saved, first = windows.save(), end
    found += Windows("log", RULES, saved).flush()
    assert [window_row(item) for item in found] == [window_row(item) for item in expected]
    assert sum(summed(found).values()) == len(rows)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_percentiles_of_the_histogram_are_near_the_real_ones(values):
    totals = Totals()
    totals.add_latencies(values)
    for percent in (50, 95, 99):
        real = sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
        assert abs(totals.percentile(percent) - real) <= max(0.5, real / 16)


@given(st.lists(st.integers(0, 2**50), max_size=50))
def test_a_step_holds_the_values_around_its_middle(values):
    for value, step in zip(values, bins_of(np.array(values, np.int64)).tolist(), strict=True):
        assert abs(middle_of(step) - value) <= value / 16


def test_many_clients_are_counted_within_a_tenth():
    windows = Windows("log", RULES)
    (row,) = calls(1)
    for number in range(20_000):
        windows.add([row._replace(client=f"client {number}")], number)
    (closed,) = windows.flush()
    assert closed.clients == pytest.approx(20_000, rel=0.1)


def test_few_clients_are_counted_exactly():
    windows = Windows("log", RULES)
    (row,) = calls(1)
    windows.add([row._replace(client=f"client {number % 1000}") for number in range(3000)], 0)
    assert windows.flush()[0].clients == 1000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.sqlite"


def opened(path, **options):
    writer = AuditWriter(path, logs=Logs("vedette", None, SegmentRules(), windows=RULES), **options)
    writer.open()
    return writer


def found(path):
    with open_reader(path) as connection:
        bodies = SqliteReader(connection).windows(Query(limit=1000))
    return [msgspec.json.decode(body) for body in bodies]


def requests(path):
    return [item["vedette"]["window"]["requests"] for item in found(path)]


def test_the_database_holds_windows_after_a_restart_and_a_replay(path):
    rows = calls(1, 2, 3)
    writer = opened(path)
    writer.submit(rows, SOURCE).result(10)
    writer.close()
    writer = opened(path)
    for _ in range(3):
        writer.submit([*rows, *calls(4)], SOURCE).result(10)
    writer.submit(calls(120), SOURCE).result(10)
    writer.close()
    assert requests(path) == [4]


def test_a_transaction_that_fails_counts_nothing(path):
    writer = opened(path)
    writer.submit(calls(1), SOURCE).result(10)
    (broken,) = calls(2)
    with pytest.raises(Exception, match="does not fit"):
        writer.submit([broken._replace(event_id="\ud800")], SOURCE).result(10)
    writer.submit(calls(3, 120), SOURCE).result(10)
    writer.close()
    assert requests(path) == [2]


def test_windows_of_a_silent_log_are_written(path):
    quick = WindowRules(20_000, 20_000)
    writer = AuditWriter(path, logs=Logs("vedette", None, SegmentRules(), windows=quick))
    writer.open()
    writer.submit(calls(1), SOURCE).result(10)
    for _ in range(200):
        if found(path):
            break
        time.sleep(0.02)
    writer.close()
    assert requests(path) == [1]


def test_an_older_database_is_brought_up_to_date(path):
    from streams.store import schema

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    schema.migrate(connection, schema.MIGRATIONS[:2])
    connection.close()
    writer = opened(path)
    writer.submit(calls(1, 120), SOURCE).result(10)
    writer.close()
    assert requests(path) == [1]


def test_windows_go_with_their_tenant_and_stay_with_a_client(path):
    writer = opened(path)
    writer.submit([*calls(1), *calls(2, tenant="t2"), *calls(300)], SOURCE).result(10)
    writer.erase(Erasure("request", client="u1_alice")).result(10)
    assert len(found(path)) == 2
    writer.erase(Erasure("request", tenant="t1")).result(10)
    writer.close()
    assert [item["organization"]["id"] for item in found(path)] == ["t2"]


def test_the_command_shows_them(path, monkeypatch, capsys):
    writer = opened(path)
    writer.submit([*audit_rows(frame(FULL, BARE, CHAT)), *calls(900)], SOURCE).result(10)
    writer.close()
    monkeypatch.setenv("VEDETTE_AUDIT_DB", str(path))
    monkeypatch.setenv("COLUMNS", "200")

    def say(*tokens):
        audit.app(tokens, result_action="return_value", exit_on_error=False, print_error=False)
        return capsys.readouterr().out

    assert "digits" in say("windows")
    assert "assistant" not in say("windows", "--model", "digits")
    (line,) = say("windows", "--model", "assistant", "--json").splitlines()
    document = msgspec.json.decode(line)
    assert document["vedette"]["window"]["tokens"] == {"input": 120, "output": 0}
    assert document["data_stream"]["type"] == "metrics"


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=200))
def test_the_histogram_follows_the_rules_of_its_type_in_elasticsearch(latencies_us):
    """Equally many values and counts, values rising, counts whole and not negative."""
    totals = Totals(requests=len(latencies_us), latency_bins={})
    totals.add_latencies(latencies_us)
    closed = Closed("id", "digits", None, START_US, START_US + MINUTE_US, 1, totals)
    document = msgspec.json.decode(window_row(closed).body)
    latency = document["vedette"]["window"]["latency"]["histogram"]
    assert sorted(latency) == ["counts", "values"]
    assert len(latency["values"]) == len(latency["counts"])
    assert all(one < other for one, other in pairwise(latency["values"]))
    assert all(isinstance(count, int) and count > 0 for count in latency["counts"])
    assert sum(latency["counts"]) == len(latencies_us)
