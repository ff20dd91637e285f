"""Audit frames and alerts reach the database exactly once through the real broker."""

from __future__ import annotations

import asyncio
import json
import uuid

import msgspec
import pytest

from streams.frames import encode_frame
from streams.store.search import AuditUnavailable, Query, open_reader, search
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
        yield encode_frame(frame(*({**BARE, "id": item, "client": run} for item in ids)))


def stored(path, run):
    try:
        with open_reader(path) as reader:
            return search(reader, Query(client=run, limit=100_000))
    except AuditUnavailable:
        return []


@pytest.mark.slow
async def test_kill_9_stores_every_interaction_exactly_once(broker, tmp_path):
    run, count = uuid.uuid4().hex, 120
    path = tmp_path / "audit.sqlite"
    sending = asyncio.create_task(produce(broker, AUDIT, frames(run, count), pause_s=0.18))
    with role_process("index", environment(broker, path)) as role:
        await role.kill_again_and_again(times=2, seed=2)
        await role.until(lambda: len(stored(path, run)) >= count * ROWS)
    await sending
    found = sorted(item.event_id for item in stored(path, run))
    assert found == sorted(f"{run}-{number}" for number in range(count * ROWS))


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
    assert bad in await everything(broker, dlq(AUDIT))
    with open_reader(path) as reader:
        (found,) = [
            item for item in search(reader, Query(kind="alert")) if item.event_id == raised.id
        ]
    assert json.loads(found.body)["event"]["kind"] == "alert"
