"""Audit frames and alerts reach the database exactly once through the real broker."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid

import msgspec
import pytest

from config.settings import load_settings
from streams.cli.audit_kafka import verify_topics
from streams.content.access import new_access, record_access
from streams.frames import encode_frame
from streams.ledger.kafka import indexed_records, published_notes, waiting_records
from streams.ledger.note import load_verifier
from streams.ledger.trail import compare_rows, verify_trail
from streams.roles.index import build_rows
from streams.store.search import AuditUnavailable, Query, get, open_reader, search, windows
from streams.store.trail import SqliteTrail
from streams.topics import ALERTS, AUDIT, dlq
from tests.integration.killing import produce, role_process
from tests.integration.test_respond import everything
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, frame

pytestmark = pytest.mark.kafka

ROWS = 40


def environment(broker, path):
    return {
        "VEDETTE_HOME": str(path.parent),
        "VEDETTE_AUDIT_DB": str(path),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
    }


def frames(run, count):
    for number in range(count):
        ids = (f"{run}-{number * ROWS + row}" for row in range(ROWS))
        yield encode_frame(
            frame(*({**BARE, "id": item, "client": run, "tenant": run} for item in ids))
        )


def stored(path, run):
    try:
        with open_reader(path) as reader:
            return search(reader, Query(client=run, limit=100_000))
    except AuditUnavailable:
        return []


def counted(path, run):
    """Return the calls of the run's tenant in all windows."""
    with open_reader(path) as reader:
        found = windows(reader, Query(tenant=run, limit=100_000))
    documents = [json.loads(body)["vedette"]["window"] for body in found]
    return sum(item["requests"] for item in documents)


@pytest.mark.slow
async def test_kill_9_stores_every_interaction_exactly_once(broker, tmp_path):
    run, count = uuid.uuid4().hex, 120
    path = tmp_path / "audit.sqlite"
    sending = asyncio.create_task(produce(broker, AUDIT, frames(run, count), pause_s=0.18))
    narrow = {"VEDETTE_INDEX__WINDOW_S": "2", "VEDETTE_INDEX__WINDOW_LATENESS_S": "1"}
    with role_process("index", {**environment(broker, path), **narrow}) as role:
        await role.kill_again_and_again(times=2, seed=2)
        await role.until(lambda: len(stored(path, run)) >= count * ROWS)
        await role.until(lambda: counted(path, run) >= count * ROWS)
    await sending
    assert counted(path, run) == count * ROWS
    found = sorted(item.event_id for item in stored(path, run))
    assert found == sorted(f"{run}-{number}" for number in range(count * ROWS))
    verifier = load_verifier(tmp_path / "keys" / "audit.pub")
    with open_reader(path) as reader:
        assert verify_trail(SqliteTrail(reader), verifier).faults == ()


async def test_alerts_are_stored_and_bad_records_dead_lettered(broker, tmp_path):
    run = uuid.uuid4().hex
    path = tmp_path / "audit.sqlite"
    raised = alert(id=run)
    bad = f"no frame {run}".encode()
    await produce(broker, AUDIT, [bad, *frames(run, 1)])
    await produce(broker, ALERTS, [msgspec.json.encode(raised)])

    def done():
        if len(stored(path, run)) < ROWS:
            return False
        with open_reader(path) as reader:
            return raised.id in {item.event_id for item in search(reader, Query(kind="alert"))}

    with role_process("index", environment(broker, path)) as role:
        await role.until(done)
        async with asyncio.timeout(30):  # it lies in another partition than the frame
            while bad not in await everything(broker, dlq(AUDIT)):
                pass
    with open_reader(path) as reader:
        (found,) = [
            item for item in search(reader, Query(kind="alert")) if item.event_id == raised.id
        ]
    assert json.loads(found.body)["event"]["kind"] == "alert"


async def test_an_access_to_content_is_stored_and_chained(broker, tmp_path, monkeypatch):
    path = tmp_path / "audit.sqlite"
    for name, value in environment(broker, path).items():
        monkeypatch.setenv(name, value)
    access = new_access("content-access", "ticket 4711", ids=["a"])
    await asyncio.to_thread(record_access, access, load_settings().kafka)

    def found():
        try:
            with open_reader(path) as reader:
                return get(reader, access.id)
        except AuditUnavailable:
            return None

    with role_process("index", environment(broker, path)) as role:
        await role.until(lambda: found() is not None)
    assert json.loads(found().body)["event"]["reason"] == "ticket 4711"
    verifier = load_verifier(tmp_path / "keys" / "audit.pub")
    with open_reader(path) as reader:
        assert verify_trail(SqliteTrail(reader), verifier).faults == ()


async def test_what_waits_to_be_indexed_is_counted(broker, tmp_path, monkeypatch):
    for name, value in environment(broker, tmp_path / "audit.sqlite").items():
        monkeypatch.setenv(name, value)
    before = await waiting_records(load_settings().kafka)
    await produce(broker, AUDIT, frames(uuid.uuid4().hex, 3))
    after = await waiting_records(load_settings().kafka)
    assert after[AUDIT] - before[AUDIT] == 3
    monkeypatch.setenv("VEDETTE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert await waiting_records(load_settings().kafka) is None


async def test_the_trail_is_verified_against_what_kafka_holds(broker, tmp_path, monkeypatch):
    """The topic holds records of other tests too, which this database has never seen."""
    run = uuid.uuid4().hex
    path = tmp_path / "audit.sqlite"
    settings = environment(broker, path)
    await produce(broker, AUDIT, frames(run, 2))
    with role_process("index", {**settings, "VEDETTE_INDEX__CHECKPOINT_INTERVAL_S": "1"}) as role:
        await role.until(lambda: len(stored(path, run)) == 2 * ROWS)
        await role.until(lambda: signed(path) > 0)
        await asyncio.sleep(1.5)  # until the offset is committed
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE documents SET leaf = zeroblob(32) WHERE event_id = ?", (f"{run}-3",)
        )
    notes = await published_notes(load_settings().kafka)
    assert any(note.startswith(first_origin(path)) for note in notes)
    with open_reader(path) as reader:
        faults = []
        async for records in indexed_records(load_settings().kafka):
            faults += compare_rows(SqliteTrail(reader), build_rows(records)[0])
    ours = [(item.kind, item.event_id) for item in faults if str(item.event_id).startswith(run)]
    assert ours == [("altered", f"{run}-3")]


async def test_the_topics_are_verified_without_any_store(broker, tmp_path, monkeypatch):
    run, path = uuid.uuid4().hex, tmp_path / "audit.sqlite"
    for name, value in environment(broker, path).items():
        monkeypatch.setenv(name, value)
    await produce(broker, AUDIT, frames(run, 10))
    with role_process(
        "index", {**environment(broker, path), "VEDETTE_INDEX__CHECKPOINT_INTERVAL_S": "1"}
    ) as role:
        await role.until(lambda: len(stored(path, run)) == 10 * ROWS)
        await role.until(lambda: signed(path) > 0)
        await asyncio.sleep(1.5)  # until the offset is committed
    verifier = load_verifier(tmp_path / "keys" / "audit.pub")
    origin = first_origin(path)
    path.unlink()
    report = await verify_topics(load_settings(), verifier)
    (ours,) = [item for item in report.logs if item.origin == origin]
    assert (ours.faults, ours.size > 0) == ((), True)
    # Those of other tests' keys are no checkpoints to this one.
    assert {fault.kind for fault in report.faults} <= {"checkpoint"}
    odd = tampered_rows(f"{run}-7", f"{run}-200", f"{run}-399")
    monkeypatch.setattr("streams.cli.audit_kafka.build_rows", odd)
    report = await verify_topics(load_settings(), verifier)
    (ours,) = [item for item in report.logs if item.origin == origin]
    places = [(fault.kind, fault.event_id, fault.text.split("; ")[1:]) for fault in ours.faults]
    assert places == [
        ("altered", f"{run}-7", []),
        ("removed", None, [f"{run}-199 lies before"]),
        ("inserted", "forged", []),
    ]


def tampered_rows(altered, removed, followed):
    """Return what reads the rows of a topic that somebody has changed in three places."""

    def read(records, namespace):
        rows, bad = build_rows(records, namespace)
        found = []
        for row in rows:
            if row.event_id == followed:
                found.append(row._replace(event_id="forged", body=b"{}"))
            if row.event_id != removed:
                body = b'{"forged":true}' if row.event_id == altered else row.body
                found.append(row._replace(body=body))
        return found, bad

    return read


def signed(path):
    with sqlite3.connect(path) as database:
        return database.execute("SELECT count(*) FROM segments").fetchone()[0]


def first_origin(path):
    with sqlite3.connect(path) as database:
        return database.execute("SELECT origin FROM segments").fetchone()[0]
