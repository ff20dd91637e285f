"""The indexer's log is a function of its partition, whatever happens on the way."""

from __future__ import annotations

import asyncio
import random
import shutil

import pytest

from config.errors import Fatal
from streams.dlq import DeadLetters
from streams.elastic.sink import ElasticSink
from streams.ledger.note import ensure_signer
from streams.topics import AUDIT, dlq
from tests.unit.elastic.chunks import SOURCE, Feed, check, interactions, logged
from tests.unit.elastic.stub import parked, refuse
from tests.unit.respond.fakes import FakeProducer


class Run:
    """One life of a sink."""

    def __init__(self, settings):
        self.settings = settings
        self.segments = []
        self.producer = FakeProducer()
        signer = ensure_signer(settings.checkpoint_key, "vedette")
        letters = DeadLetters(self.producer, group="vedette-index")
        self.tiles = []
        self.sink = ElasticSink(settings, signer, self.publish, letters)
        self.feed = Feed()

    async def publish(self, closings):
        self.segments += [closing.segment for closing in closings]
        self.tiles += [tile for closing in closings for tile in closing.tiles]

    async def __aenter__(self):
        await self.sink.assigned({SOURCE})
        return self

    async def __aexit__(self, *_):
        await self.sink.release({SOURCE})
        await self.sink.close()

    async def die(self):
        """Stop as kill -9 does: nothing more is saved."""
        await self.sink.close()

    async def store(self, first, end):
        chunk = self.feed.chunk(first, end)
        await self.sink.store(chunk, self.feed.rows(chunk))


def ids(stub):
    (documents,) = logged(stub).values()
    return [item["event"]["id"] for item in documents]


def wanted(end):
    return [item["id"] for item in interactions(0, end * 10)]


async def test_documents_are_stored_in_their_order_and_signed(settings, stub):
    async with Run(settings) as run:
        await asyncio.gather(*(run.store(n, n + 1) for n in range(12)))
    assert ids(stub) == wanted(12)
    (report,) = check(stub, settings)
    assert (report.size, report.signed, report.faults) == (120, 120, ())


async def test_replayed_rows_are_dropped(settings, stub):
    async with Run(settings) as run:
        await run.store(0, 5)
        await run.store(2, 8)
    assert ids(stub) == wanted(8)
    assert check(stub, settings)[0].faults == ()


async def test_a_new_run_goes_on_where_the_last_one_was_released(settings, stub):
    async with Run(settings) as run:
        await run.store(0, 5)
    async with Run(settings) as run:
        assert run.sink.first_offset(SOURCE) == 5
        await run.store(5, 9)
    assert ids(stub) == wanted(9)
    (report,) = check(stub, settings)
    assert (report.size, report.checkpoints, report.faults) == (90, 2, ())


async def test_documents_that_outran_their_state_get_the_same_places_again(
    settings, stub, tmp_path
):
    run = Run(settings)
    await run.__aenter__()
    await run.store(0, 4)
    shutil.copytree(tmp_path / "state", tmp_path / "before")
    await run.store(4, 9)
    await run.die()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "before", tmp_path / "state")
    async with Run(settings) as again:
        await again.store(4, 6)
        await again.store(6, 12)
    assert ids(stub) == wanted(12)
    (report,) = check(stub, settings)
    assert (report.size, report.faults) == (120, ())


async def killed(run, tasks):
    """Kill a run in the middle; return how many chunks, from the first on, it had acknowledged."""
    done = [task.done() and not task.exception() for task in tasks]
    for task in tasks:
        task.cancel()
    await run.die()
    await asyncio.gather(*tasks, return_exceptions=True)
    return done.index(False) if False in done else len(done)


@pytest.mark.parametrize("seed", range(5))
async def test_kills_at_random_moments_lose_nothing_and_double_nothing(settings, stub, seed):
    moments = random.Random(seed)
    committed = 0
    for _ in range(8):
        run = Run(settings)
        await run.__aenter__()
        tasks = []
        for first in range(committed, min(committed + 12, 40)):
            tasks.append(asyncio.ensure_future(run.store(first, first + 1)))
            if moments.random() < 0.3:
                await asyncio.sleep(moments.uniform(0, 0.01))
        await asyncio.sleep(moments.uniform(0, 0.1))
        # Kafka's offset is behind what was acknowledged, never before it.
        committed += moments.randint(0, await killed(run, tasks))
    async with Run(settings) as run:
        await run.store(0, 40)
    assert ids(stub) == wanted(40)
    (report,) = check(stub, settings)
    assert (report.size, report.unnamed, report.faults) == (400, 0, ())


async def test_a_lost_state_begins_another_log_and_loses_no_document(settings, stub, tmp_path):
    async with Run(settings) as run:
        await run.store(0, 3)
    shutil.rmtree(tmp_path / "state")
    async with Run(settings) as run:
        await run.store(3, 6)
    assert [len(documents) for documents in logged(stub).values()] == [30, 30]
    assert [report.faults for report in check(stub, settings)] == [(), ()]


async def test_nothing_is_acknowledged_before_the_state_is_saved(settings, stub, monkeypatch):
    run = Run(settings)
    await run.__aenter__()
    saving = asyncio.Event()
    write = run.sink._write

    async def slow(partition, saved):
        await saving.wait()
        await write(partition, saved)

    monkeypatch.setattr(run.sink, "_write", slow)
    storing = asyncio.ensure_future(run.store(0, 1))
    await asyncio.sleep(0.1)
    assert len(stub.documents) == 10
    assert not storing.done()
    saving.set()
    await storing
    await run.die()


async def test_a_state_that_cannot_be_saved_fails_the_chunk(settings, monkeypatch):
    run = Run(settings)
    await run.__aenter__()

    async def full(partition, saved):
        raise OSError(28, "no space left")

    monkeypatch.setattr(run.sink, "_write", full)
    with pytest.raises(OSError, match="no space"):
        await run.store(0, 1)
    await run.die()


async def test_refused_documents_are_dead_lettered_and_leave_their_hash(settings, stub):
    async with Run(settings) as run:
        stub.answers = [lambda _, i: refuse(400, "mapper")(_, i) if i.endswith(".3") else None]
        await run.store(0, 1)
    values = run.producer.values(dlq(AUDIT))
    assert len(values) == 1
    assert b"u1_alice" in values[0]
    (report,) = check(stub, settings)
    assert (report.size, report.faults) == (10, ())
    assert report.erased == ((3, wanted(1)[3]),)


async def test_parked_documents_leave_their_hash_without_a_dead_letter(settings, stub):
    async with Run(settings) as run:
        stub.answers = [lambda a, i: parked(a, i) if i.endswith(".3") else None]
        await run.store(0, 1)
    assert run.producer.values(dlq(AUDIT)) == []
    (report,) = check(stub, settings)
    assert (report.size, report.erased, report.faults) == (10, ((3, wanted(1)[3]),), ())


async def test_a_segment_is_closed_by_count(settings, stub):
    small = settings.model_copy(
        update={"index": settings.index.model_copy(update={"checkpoint_records": 30})}
    )
    async with Run(small) as run:
        for first in range(12):
            await run.store(first, first + 1)
    assert len(run.segments) >= 3
    assert check(stub, small)[0].faults == ()


async def test_a_segment_is_closed_by_time(settings, stub):
    hasty = settings.model_copy(
        update={"index": settings.index.model_copy(update={"checkpoint_interval_s": 0.05})}
    )
    async with Run(hasty) as run:
        await run.store(0, 1)
        for _ in range(100):
            if run.segments:
                break
            await asyncio.sleep(0.02)
        assert [segment.size for segment in run.segments] == [10]


async def test_an_outage_is_waited_for(settings, stub):
    async with Run(settings) as run:
        stub.answers = [503] * 20
        await asyncio.wait_for(run.store(0, 3), 10)
    assert ids(stub) == wanted(3)


async def test_a_release_during_an_outage_does_not_wait_for_ever(settings, stub):
    run = Run(settings)
    await run.__aenter__()
    stub.answers = [503] * 10_000
    storing = asyncio.ensure_future(run.store(0, 1))
    await asyncio.sleep(0.05)
    storing.cancel()
    await asyncio.wait_for(run.sink.release({SOURCE}), 10)
    await run.sink.close()
    assert stub.documents == {}


async def test_a_refused_key_stops_the_chunk(settings, stub):
    run = Run(settings)
    await run.__aenter__()
    stub.answers = [401]
    with pytest.raises(Fatal, match="API key"):
        await run.store(0, 1)
    await run.die()


def windows(stub):
    """Return the requests of each window that arrived."""
    return [
        document["vedette"]["window"]["requests"]
        for (stream, _), document in stub.documents.items()
        if stream.startswith("metrics-vedette.window-")
    ]


@pytest.fixture
def narrow(settings):
    """Return settings of windows that event time passes at once, and silence too."""
    index = settings.index.model_copy(update={"window_s": 1, "window_lateness_s": 0})
    return settings.model_copy(update={"index": index})


async def until_counted(stub, wanted):
    for _ in range(250):
        if sum(windows(stub)) == wanted:
            return
        await asyncio.sleep(0.02)


async def test_windows_arrive_when_the_partition_falls_silent(narrow, stub):
    async with Run(narrow) as run:
        await run.store(0, 5)
        await until_counted(stub, 50)
    assert sum(windows(stub)) == 50


async def test_windows_wait_in_the_state_while_elasticsearch_refuses_them(narrow, stub):
    run = Run(narrow)
    await run.__aenter__()
    await run.store(0, 5)
    stub.answers = [503] * 10_000
    await asyncio.sleep(1.3)
    assert windows(stub) == []
    await run.die()
    stub.answers = []
    async with Run(narrow) as again:
        await until_counted(stub, 50)
        await again.store(5, 6)
        await until_counted(stub, 60)
    assert sum(windows(stub)) == 60


@pytest.mark.parametrize("seed", range(3))
async def test_kills_at_random_moments_count_everything_once(narrow, stub, seed):
    moments = random.Random(seed)
    committed = 0
    for _ in range(6):
        run = Run(narrow)
        await run.__aenter__()
        tasks = [
            asyncio.ensure_future(run.store(first, first + 1))
            for first in range(committed, min(committed + 8, 40))
        ]
        await asyncio.sleep(moments.choice([0.01, 0.05, 1.1]))
        committed += moments.randint(0, await killed(run, tasks))
    async with Run(narrow) as run:
        await run.store(0, 40)
        await until_counted(stub, 400)
    assert sum(windows(stub)) == 400


async def test_every_record_is_in_a_published_tile_whatever_happened_between(settings, stub):
    tiles = []
    for first, end in ((0, 30), (30, 52), (40, 60)):
        async with Run(settings) as run:
            await run.store(first, end)
        tiles += run.tiles
    widest = {tile.number: tile.hashes for tile in sorted(tiles, key=lambda item: item.width)}
    (documents,) = logged(stub).values()
    hashes = "".join(item["event"]["hash"] for item in documents)
    assert len(documents) == 600
    assert b"".join(hashes for _, hashes in sorted(widest.items())).hex() == hashes


async def test_a_run_that_is_killed_leaves_its_tiles_to_the_next(settings, stub):
    run = Run(settings)
    async with run:
        await run.store(0, 30)
    killed = Run(settings)
    await killed.sink.assigned({SOURCE})
    await killed.store(30, 52)
    await killed.die()
    assert killed.tiles == []
    async with Run(settings) as last:
        await last.store(30, 60)
    assert [(tile.number, tile.width) for tile in last.tiles] == [(1, 256), (2, 88)]
