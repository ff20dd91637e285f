"""The index role acknowledges what is committed, and waits for a disk instead of losing."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import msgspec
import pytest
from structlog.testing import capture_logs

from config.errors import Fatal, Transient
from config.settings import IndexSettings, Settings
from streams.frames import encode_frame
from streams.ledger.log import Segment
from streams.ledger.note import load_verifier
from streams.ledger.publish import read_checkpoints
from streams.roles import index
from streams.store.search import Query, open_reader, search
from streams.topics import ALERTS, AUDIT, CHECKPOINTS, TILES, dlq
from tests.unit.respond.fakes import Acks, FakeProducer
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, frame


@pytest.fixture
def producer(monkeypatch):
    made = FakeProducer()
    monkeypatch.setattr(index, "Producer", lambda _: made)
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.sqlite"


@pytest.fixture
async def role(producer, path):
    made = index.make(Settings(home=path.parent, audit_db=path))
    await made.start()
    yield made
    await made.stop()


def audit(*numbers):
    return encode_frame(frame(*({**BARE, "id": f"i-{number}"} for number in numbers)))


def stored(path):
    with open_reader(path) as reader:
        return sorted(item.event_id for item in search(reader, Query(limit=10_000)))


async def test_frames_and_alerts_are_stored_once(role, path):
    frames, alerts = Acks(AUDIT), Acks(ALERTS)
    for _ in range(2):
        await role.process(frames.chunk(audit(1, 2), audit(3)))
        await role.process(alerts.chunk(msgspec.json.encode(alert())))
    await role.release(set())
    assert stored(path) == sorted(["i-1", "i-2", "i-3", alert().id])
    assert sorted(frames.acked) == [0, 2]
    assert sorted(alerts.acked) == [0, 1]


async def test_bad_records_are_dead_lettered_and_the_rest_is_stored(role, producer, path):
    frames, alerts = Acks(AUDIT), Acks(ALERTS)
    await role.process(frames.chunk(b"no frame", audit(1), None))
    await role.process(alerts.chunk(b"{}", b"\xff", None))
    await role.release(set())
    assert stored(path) == ["i-1"]
    assert producer.values(dlq(AUDIT)) == [b"no frame", None]
    assert producer.values(dlq(ALERTS)) == [b"{}", b"\xff", None]
    assert (frames.acked, alerts.acked) == ([0], [0])


async def test_a_bad_record_is_not_acknowledged_before_its_dead_letter_is_safe(role, producer):
    producer.hold = True
    frames = Acks(AUDIT)
    await role.process(frames.chunk(b"no frame"))
    await asyncio.sleep(0.05)
    assert frames.acked == []
    producer.release()
    await role.release(set())
    assert frames.acked == [0]


class Flaky:
    """Fails some submissions, then passes them on."""

    def __init__(self, writer, *failures):
        self.writer, self.failures = writer, list(failures)

    def submit(self, rows, source):
        if self.failures:
            failed = Future()
            failed.set_exception(self.failures.pop(0))
            return failed
        return self.writer.submit(rows, source)

    def close(self):
        self.writer.close()


async def test_a_full_disk_is_waited_for_and_told_once(role, path):
    full = [Transient("the disk is full", retry_after_s=0.01) for _ in range(3)]
    role._sink._writer = Flaky(role._sink._writer, *full)
    frames = Acks(AUDIT)
    with capture_logs() as logs:
        await role.process(frames.chunk(audit(1)))
        await role.release(set())
    assert stored(path) == ["i-1"]
    assert frames.acked == [0]
    assert [entry["log_level"] for entry in logs] == ["error", "info"]


async def test_a_release_does_not_wait_for_ever(role, monkeypatch):
    monkeypatch.setattr(index, "RELEASE_TIMEOUT_S", 0.05)
    role._sink._writer = Flaky(role._sink._writer, *[Transient("locked", retry_after_s=9)] * 9)
    frames = Acks(AUDIT)
    await role.process(frames.chunk(audit(1)))
    await role.release(set())
    assert frames.acked == []


async def test_a_fatal_failure_stops_the_worker_unacknowledged(role):
    told = []
    role._background._on_fatal = told.append
    role._sink._writer = Flaky(role._sink._writer, Fatal("the database is damaged"))
    frames = Acks(AUDIT)
    await role.process(frames.chunk(audit(1)))
    with pytest.raises(Fatal, match="damaged"):
        await role.release(set())
    with pytest.raises(Fatal, match="damaged"):
        await role.process(frames.chunk(audit(2)))
    assert (frames.acked, len(told)) == ([], 1)
    role._background._failure = None


async def test_at_most_so_many_chunks_are_in_flight(role, monkeypatch):
    role._sink._writer = Flaky(role._sink._writer, *[Transient("locked", retry_after_s=0.05)] * 20)
    frames = Acks(AUDIT)
    for number in range(index.MAX_IN_FLIGHT):
        await role.process(frames.chunk(audit(number)))
    assert len(role._background) == index.MAX_IN_FLIGHT
    await role.process(frames.chunk(audit(99)))
    assert len(frames.acked) >= 1
    await role.release(set())
    assert len(frames.acked) == index.MAX_IN_FLIGHT + 1


async def test_checkpoints_reach_their_topic_and_their_file(producer, path, tmp_path):
    kept = tmp_path / "elsewhere" / "checkpoints.jsonl"
    settings = Settings(
        home=tmp_path,
        audit_db=path,
        index=IndexSettings(checkpoint_records=2, checkpoint_file=kept),
    )
    made = index.make(settings)
    await made.start()
    await made.process(Acks(AUDIT).chunk(audit(1, 2, 3)))
    await made.release(set())
    await made.stop()
    (value,) = producer.values(CHECKPOINTS)
    verifier = load_verifier(settings.checkpoint_key.with_suffix(".pub"))
    (opened,) = read_checkpoints(kept, verifier)
    assert opened == verifier.open(msgspec.json.decode(value, type=Segment).note)
    assert opened.size == 3
    assert [len(hashes) for hashes in producer.values(TILES)] == [3 * 32]


async def test_a_file_that_cannot_be_written_stops_nothing(producer, path, tmp_path):
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "checkpoints.jsonl"
    made = index.make(
        Settings(home=tmp_path, audit_db=path, index=IndexSettings(checkpoint_file=place))
    )
    await made.start()
    frames = Acks(AUDIT)
    await made.process(frames.chunk(audit(1)))
    await made.release(set())
    with capture_logs() as logs:
        await made.stop()
    assert frames.acked == [0]
    assert [entry["to"] for entry in logs] == ["file"]
    assert len(producer.values(CHECKPOINTS)) == 1
