"""Kill -9 the indexer at random under load: Elasticsearch holds every interaction once."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
import pytest

from config.settings import Settings
from streams.frames import encode_frame
from tests.integration.elastic.test_indexing import stored, verified
from tests.integration.killing import produce, role_process
from tests.unit.store.samples import FULL, frame

pytestmark = [pytest.mark.elastic, pytest.mark.kafka, pytest.mark.slow]

ROWS = 200
FRAMES = 60


def interactions(run: str) -> list[dict[str, object]]:
    return [
        {**FULL, "id": f"{run}-{number}", "source": run, "source_offset": number, "client": run}
        for number in range(FRAMES * ROWS)
    ]


def counted(client, namespace: str) -> int:
    """Return the sum over all windows; a window that is not there yet does not count."""
    index = f"metrics-vedette.window-{namespace}"
    client.indices.refresh(index=index, ignore_unavailable=True)
    answer = client.search(
        index=index,
        ignore_unavailable=True,
        size=0,
        aggs={"all": {"sum": {"field": "vedette.window.requests"}}},
    )
    return int(answer.get("aggregations", {}).get("all", {}).get("value", 0))


async def test_kill_9_stores_every_interaction_exactly_once(
    broker, elastic, client, namespace, tmp_path
):
    run = uuid.uuid4().hex
    rows = interactions(run)
    values = [
        encode_frame(frame(*rows[first : first + ROWS])) for first in range(0, len(rows), ROWS)
    ]
    environment = {
        "VEDETTE_HOME": str(tmp_path),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
        "VEDETTE_INDEX__STORE": "elasticsearch",
        "VEDETTE_INDEX__CHECKPOINT_RECORDS": "2000",
        "VEDETTE_INDEX__WINDOW_S": "2",
        "VEDETTE_INDEX__WINDOW_LATENESS_S": "1",
        "VEDETTE_ELASTIC__URLS": msgspec.json.encode(elastic.urls).decode(),
        "VEDETTE_ELASTIC__NAMESPACE": namespace,
        "VEDETTE_ELASTIC__BATCH_DOCUMENTS": "100",
    }

    def mine() -> list[str]:
        if not client.indices.exists(index=f"logs-vedette.audit-{namespace}"):
            return []
        return [item for item in stored(client, namespace) if item.startswith(run)]

    # What a replay sends again, as a killed detector does.
    sent = [*values[:20], *values[10:40], *values[30:]]
    sending = asyncio.create_task(produce(broker, "vedette.audit.v1", sent, pause_s=0.2))
    with role_process("index", environment) as role:
        await role.kill_again_and_again(times=2, seed=3)
        await role.until(lambda: len(mine()) >= len(rows))
        await sending
        await role.until(lambda: counted(client, namespace) >= len(rows))
        await asyncio.sleep(2)
    assert mine() == sorted(str(row["id"]) for row in rows)
    assert counted(client, namespace) == len(rows)
    settings = Settings(home=tmp_path, elastic=elastic)
    report = verified(client, settings, namespace)[2]
    assert report.faults == ()
