"""The indexer against a real node: replays, overload, an outage, rollover, tampering."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime

import pytest
from elasticsearch import Elasticsearch, helpers

from config.settings import IndexSettings, Settings
from streams.elastic import bulk
from streams.elastic.bulk import BulkWriter, Item
from streams.elastic.client import make_client
from streams.elastic.metrics import DOCUMENTS, RETRIES
from streams.elastic.trail import ElasticTrail
from streams.ledger.note import load_verifier
from streams.ledger.proof import check_proof, kept_roots, prove
from streams.ledger.trail import verify_trail
from tests.unit.elastic.chunks import interactions
from tests.unit.elastic.test_sink import Run

pytestmark = pytest.mark.elastic

ROWS = 500


@pytest.fixture
def settings(elastic, tmp_path):
    return Settings(
        home=tmp_path,
        elastic=elastic.model_copy(update={"batch_documents": 250}),
        index=IndexSettings(store="elasticsearch", checkpoint_records=1000),
    )


def run_of(settings):
    from tests.unit.elastic.chunks import Feed

    run = Run(settings)
    run.feed = Feed(settings.elastic.namespace, ROWS)
    return run


def stored(client: Elasticsearch, namespace: str) -> list[str]:
    stream = f"logs-vedette.audit-{namespace}"
    client.indices.refresh(index=stream)
    found = helpers.scan(client, index=stream, source_includes=["event.id"], size=5000)
    return sorted(hit["_source"]["event"]["id"] for hit in found)


def wanted(frames):
    return sorted(item["id"] for item in interactions(0, frames * ROWS))


def verified(client, settings, namespace):
    client.indices.refresh(index=f"logs-vedette.*-{namespace}")
    trail = ElasticTrail(client, namespace)
    verifier = load_verifier(settings.checkpoint_key.with_suffix(".pub"))
    return trail, verifier, verify_trail(trail, verifier)


async def test_documents_arrive_and_the_trail_verifies_from_elasticsearch(
    settings, client, namespace
):
    async with run_of(settings) as run:
        await asyncio.gather(*(run.store(n, n + 1) for n in range(6)))
    assert stored(client, namespace) == wanted(6)
    trail, verifier, report = verified(client, settings, namespace)
    assert (report.records, report.unsigned, report.faults) == (6 * ROWS, 0, ())
    origin, position, record = trail.find("vedette.events.v1-2-777-0")
    segments = trail.segments(origin)
    roots = kept_roots(segments, lambda first, end: trail.leaves(origin, first, end))
    assert check_proof(prove(position, segments, roots), record, verifier).size == 6 * ROWS


async def test_a_replay_is_refused_by_its_id(settings, client, namespace, tmp_path):
    before = DOCUMENTS.labels(outcome="replayed")._value.get()
    run = run_of(settings)
    await run.__aenter__()
    shutil.copytree(tmp_path / "state", tmp_path / "old")
    await run.store(0, 2)
    await run.die()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "old", tmp_path / "state")
    async with run_of(settings) as again:
        await again.store(0, 3)
    assert stored(client, namespace) == wanted(3)
    assert DOCUMENTS.labels(outcome="replayed")._value.get() == before + 2 * ROWS
    assert verified(client, settings, namespace)[2].faults == ()


async def test_a_replay_after_a_rollover_makes_no_doubles(settings, client, namespace, tmp_path):
    run = run_of(settings)
    await run.__aenter__()
    shutil.copytree(tmp_path / "state", tmp_path / "old")
    await run.store(0, 2)
    await run.die()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "old", tmp_path / "state")
    client.indices.rollover(alias=f"logs-vedette.audit-{namespace}")
    async with run_of(settings) as again:
        await again.store(0, 3)
    assert stored(client, namespace) == wanted(3)
    assert verified(client, settings, namespace)[2].faults == ()


async def test_what_is_changed_in_elasticsearch_is_found(settings, client, namespace):
    async with run_of(settings) as run:
        await run.store(0, 2)
    client.indices.refresh(index=f"logs-vedette.audit-{namespace}")

    def position(number):
        found = client.search(
            index=f"logs-vedette.audit-{namespace}",
            query={"term": {"event.sequence": number}},
            seq_no_primary_term=True,
        )
        (hit,) = found["hits"]["hits"]
        return hit

    hit = position(123)
    document = {**hit["_source"], "user": {"id": "u1_somebody_else"}}
    client.index(
        index=hit["_index"],
        id=hit["_id"],
        document=document,
        if_seq_no=hit["_seq_no"],
        if_primary_term=hit["_primary_term"],
    )
    gone = position(600)
    client.delete(index=gone["_index"], id=gone["_id"])
    report = verified(client, settings, namespace)[2]
    assert [(fault.kind, fault.first) for fault in report.faults] == [
        ("altered", 123),
        ("removed", 600),
    ]
    assert report.faults[0].event_id == "vedette.events.v1-2-123-0"


async def test_a_document_that_the_mapping_refuses_leaves_its_hash(settings, client, namespace):
    """A time out of range of the mapping is refused by the server alone."""
    before = DOCUMENTS.labels(outcome="refused")._value.get()
    run = run_of(settings)
    await run.__aenter__()
    chunk = run.feed.chunk(0, 1)
    rows = run.feed.rows(chunk)
    broken = rows[3].body.replace(b'"@timestamp":"2026', b'"@timestamp":"nonsense')
    rows[3] = rows[3]._replace(body=broken)
    with pytest.raises(Exception, match="hash"):  # not even its hash can be stored
        await run.sink.store(chunk, rows)
    await run.die()
    assert DOCUMENTS.labels(outcome="refused")._value.get() == before + 2


async def test_the_pipeline_says_when_a_document_came_and_its_hash_still_fits(
    settings, client, namespace
):
    before = datetime.now(UTC)
    async with run_of(settings) as run:
        await run.store(0, 1)
    _, _, report = verified(client, settings, namespace)
    assert (report.records, report.faults) == (ROWS, ())
    answer = client.search(index=f"logs-vedette.audit-{namespace}", size=ROWS)
    times = [hit["_source"]["event"]["ingested"] for hit in answer["hits"]["hits"]]
    assert len(times) == ROWS
    assert all(before < datetime.fromisoformat(time) < datetime.now(UTC) for time in times)


async def test_a_surprising_field_is_withheld_and_dead_lettered(settings, client, namespace):
    run = run_of(settings)
    await run.__aenter__()
    chunk = run.feed.chunk(0, 1)
    rows = run.feed.rows(chunk)
    rows[3] = rows[3]._replace(body=rows[3].body.replace(b'"scanned"', b'"surprise"'))
    await run.sink.store(chunk, rows)
    await run.sink.release(set(run.sink._owned))
    await run.sink.close()
    (letter,) = [value for topic, _, value in run.producer.sent if topic.endswith(".dlq")]
    assert b"surprise" in letter
    report = verified(client, settings, namespace)[2]
    assert (report.records, report.erased, report.faults) == (ROWS, 1, ())


@pytest.mark.slow
async def test_an_outage_and_overload_cost_time_and_no_document(
    settings, elastic, namespace, ready, monkeypatch
):
    """Kill -9 the node in mid-stream, and bring it back with hardly any memory for indexing."""
    monkeypatch.setattr(bulk, "MAX_DELAY_S", 2.0)
    retries = RETRIES._value.get()
    run = run_of(settings)
    await run.__aenter__()
    tasks = [asyncio.ensure_future(run.store(n, n + 1)) for n in range(12)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(ready.kill)
    try:
        await asyncio.sleep(0.5)
        assert not all(task.done() for task in tasks)
        await asyncio.to_thread(ready.start, {"indexing_pressure.memory.limit": "1mb"})
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        # Far more at once than it takes: the window closes, and everything arrives.
        client = make_client(elastic)
        writer = BulkWriter(client, elastic.model_copy(update={"max_requests": 16}))
        body = b'{"@timestamp":"2026-11-22T10:00:00Z","message":"%s"}' % (b"x" * 2000)
        other = f"logs-vedette.dlq-{namespace}x"  # not of this trail
        items = [Item(other, str(n), body) for n in range(1500)]
        writer._settings = writer._settings.model_copy(update={"batch_documents": 50})
        assert await asyncio.wait_for(writer.write(items), 60) == []
        await client.close()
        await run.sink.release(set(run.sink._owned))
        await run.sink.close()
        with make_reader(elastic) as reader:
            assert stored(reader, namespace) == wanted(12)
            assert verified(reader, settings, namespace)[2].faults == ()
            reader.indices.refresh(index=other)
            assert reader.count(index=other)["count"] == 1500
        assert RETRIES._value.get() > retries
    finally:
        # The tests after this one get along with little memory too.
        if not ready.answers():
            await asyncio.to_thread(ready.kill)
            await asyncio.to_thread(ready.start)


def make_reader(elastic):
    from streams.elastic.client import open_client

    return open_client(elastic)
