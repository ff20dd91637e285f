"""Content that is erased by the rules is gone, and the logs still verify."""

from __future__ import annotations

import sqlite3

import pytest

from config.settings import IndexSettings, Settings
from streams.store.erasure import Erasure
from streams.store.search import Query, open_reader, search
from streams.store.sink import SqliteSink, retention_erasures
from tests.unit.ledger.trails import SIGNER, check, event, found, tampering, write, writing
from tests.unit.store.samples import BASE_US, row

DAY_US = 86_400_000_000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "audit.sqlite"
    write(path, 0, 90)
    return path


def erase(path, **whom):
    with writing(path) as writer:
        return writer.erase(Erasure("request", **whom)).result(10)


def bodies(path):
    with sqlite3.connect(path) as database:
        return dict(database.execute("SELECT event_id, body FROM documents"))


def test_a_clients_content_is_gone_and_the_trail_verifies(path):
    assert erase(path, client="u1_1") == 30
    assert [number for number in range(90) if not bodies(path)[event(number)]] == list(
        range(1, 90, 3)
    )
    report = check(path)
    assert (report.faults, report.erased) == ((), 30)
    with open_reader(path) as reader:
        assert search(reader, Query(client="u1_1")) == []


def test_nothing_of_the_content_is_left_in_the_files(tmp_path):
    path = tmp_path / "audit.sqlite"
    with writing(path) as writer:
        writer.submit([row(1, client="u1_x", body=b'{"secret":"sesame"}')]).result(10)
    assert erase(path, client="u1_x") == 1
    for file in tmp_path.iterdir():
        assert b"sesame" not in file.read_bytes(), file
        assert b"u1_x" not in file.read_bytes(), file


def test_content_older_than_a_time_goes_of_one_tenant_only(path):
    with writing(path) as writer:
        rows = [row(100 + n, ts=BASE_US, tenant="t2") for n in range(5)]
        writer.submit(rows).result(10)
    before_us = BASE_US + 10_000_000
    assert erase(path, tenant="t2", before_us=before_us) == 5
    assert erase(path, tenant="t1", before_us=before_us) == 10
    assert erase(path, tenant="t1", before_us=before_us) == 0
    assert check(path).faults == ()


def test_an_erasure_is_a_record_of_the_trail(path):
    erase(path, client="u1_1")
    (record,) = [item for item in bodies(path) if item.startswith("erasure-")]
    assert b"u1_1" not in bodies(path)[record]
    assert erase(path, before_us=BASE_US + 400 * DAY_US) == 60
    assert bodies(path)[record], "records of erasures are not erased"


def test_content_taken_away_without_a_record_is_named(path):
    erase(path, client="u1_1")
    with tampering(path) as database:
        database.execute("UPDATE documents SET body = x'' WHERE position = 42")
    (fault,) = check(path).faults
    assert (fault.kind, fault.first, fault.event_id) == ("removed", 42, event(42))


def test_a_forged_record_of_an_erasure_explains_nothing(path):
    erase(path, client="u1_1")
    with tampering(path) as database:
        database.execute("UPDATE documents SET body = x'' WHERE position = 42")
        database.execute(
            "UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), '\"1-1\"', '\"42-42\"') "
            "AS BLOB) WHERE event_id LIKE 'erasure-%'"
        )
    kinds = [kind for kind, _, _ in found(path)]
    assert "altered" in kinds


def test_a_replay_does_not_bring_erased_content_back(path):
    erase(path, client="u1_1")
    write(path, 0, 90)
    assert bodies(path)[event(1)] == b""
    assert check(path).faults == ()


def test_retention_is_by_tenant():
    now_s = 1_800_000_000.0
    erasures = retention_erasures(90, {"short": 7}, now_s=now_s)
    assert erasures == [
        Erasure("retention", tenant="short", before_us=int((now_s - 7 * 86_400) * 1e6)),
        Erasure(
            "retention",
            before_us=int((now_s - 90 * 86_400) * 1e6),
            except_tenants=("short",),
        ),
    ]
    assert retention_erasures(None, {}, now_s=now_s) == []


async def test_the_index_role_erases_what_is_too_old(path, tmp_path):
    import asyncio

    settings = Settings(
        home=tmp_path, audit_db=path, index=IndexSettings(retention_days=1, checkpoint_records=50)
    )
    sink = SqliteSink(settings, SIGNER, lambda _: None)
    await sink.open()
    for _ in range(200):
        if not bodies(path)[event(89)]:
            break
        await asyncio.sleep(0.02)
    await sink.close()
    assert {event(n) for n in range(90)} == {
        name for name, body in bodies(path).items() if not body
    }
    assert check(path).faults == ()
