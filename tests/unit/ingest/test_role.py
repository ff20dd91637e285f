"""The role acknowledges only what is durable, and repeats alike after a crash."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from config.errors import ConfigError, Fatal
from config.settings import IngestSettings, Settings, SourceSettings
from streams.frames import decode_frame
from streams.ingest import delivery
from streams.letters import letter_of
from streams.roles import ingest
from streams.roles.base import Chunk, Partition
from streams.topics import HALVES, INTERACTIONS
from tests.unit.decode.records import (
    BROKER_MS,
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    record,
)
from tests.unit.decode.test_producers import CALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SOURCE = Partition("events", 2)


class Broker:
    """Stands for Kafka: keeps what was sent, and fails when told to."""

    def __init__(self, _settings: Any = None) -> None:
        self.sent: list[tuple[str, Any, dict[str, Any]]] = []
        self.failures: list[Exception] = []
        self.partitions = 4
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def partitions_of(self, topic: str) -> int:
        return self.partitions

    async def send(self, topic: str, value: Any, **options: Any) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._take(topic, value, options))

    async def _take(self, topic: str, value: Any, options: dict[str, Any]) -> None:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((topic, value, options))

    def interactions(self) -> list[dict[str, Any]]:
        """Rows as a reader sees them that drops positions it has passed."""
        rows: list[dict[str, Any]] = []
        passed: dict[int, tuple[int, int]] = {}
        for topic, value, options in self.sent:
            if topic != INTERACTIONS:
                continue
            for row in decode_frame(value).to_pylist():
                position = (row["source_offset"], row["source_index"])
                if position > passed.get(options["partition"], (-1, -1)):
                    passed[options["partition"]] = position
                    rows.append(row)
        return rows

    def dead(self) -> list[tuple[str, Any, str]]:
        return [
            (topic, value, dict(options["headers"])["vedette-error-class"].decode())
            for topic, value, options in self.sent
            if topic.endswith(".dlq")
        ]

    def halves(self) -> list[tuple[int, bytes]]:
        return [
            (options["partition"], value) for topic, value, options in self.sent if topic == HALVES
        ]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    instance = Broker()
    monkeypatch.setattr(ingest, "Producer", lambda _settings: instance)
    monkeypatch.setattr(delivery, "_FIRST_BACKOFF_S", 0.001)
    return instance


class Worker:
    """A role that owns `SOURCE`, and which offsets it has acknowledged."""

    def __init__(self, role: ingest.IngestRole) -> None:
        self.role = role
        self.acked: list[int] = []

    async def process(self, *records: Any) -> None:
        last = records[-1].offset
        await self.role.process(Chunk(SOURCE, records, lambda: self.acked.append(last)))

    async def settled(self) -> None:
        await self.role._owned[SOURCE].delivered()

    async def snapshotted(self) -> None:
        await self.role._snapshot(self.role._owned[SOURCE])


@pytest.fixture
async def worker(broker: Broker, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    roles: list[ingest.IngestRole] = []

    async def start(**bounds: Any) -> Worker:
        bounds = {"snapshot_interval_s": 60.0, **bounds}
        role = ingest.make(Settings(home=tmp_path, ingest=IngestSettings(**bounds)))
        roles.append(role)
        await role.start()
        await role.assigned({SOURCE})
        return Worker(role)

    yield start
    for role in roles:
        await role.stop()


def mixed_chunk() -> list[Any]:
    """Usual events, some of them wrong or sent again, among halves and a tombstone."""
    usual = {**EVENT, "response": {"outputs": RESPONSE["outputs"][:1]}}
    records = [
        record(usual, {"id": f"r{number % 50}", "status": "x" if number % 20 == 9 else "200"})
        for number in range(80)
    ]
    records[5] = record(REQUEST, {"id": "half", "type": REQUEST_TYPE})
    records[6] = record(None)
    records[70] = record(RESPONSE, {"id": "half", "type": RESPONSE_TYPE})
    for offset, item in enumerate(records):
        item.offset = offset
    return records


@pytest.mark.parametrize("join_timeout_s", [0.001, 30.0])
async def test_columns_and_rows_tell_the_same(
    worker: Callable[..., Any],
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    join_timeout_s: float,
) -> None:
    told = []
    for min_records in (32, 1000):
        monkeypatch.setattr("streams.decode.runs.run.MIN_RECORDS", min_records)
        broker.sent.clear()
        started = await worker(join_timeout_s=join_timeout_s)
        await started.process(*mixed_chunk())
        await started.settled()
        told.append((broker.interactions(), broker.dead(), started.role.counts))
    assert told[0] == told[1]
    assert told[0][2]["duplicate"] > 0
    assert len(told[0][1]) == 4


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the role has no event to wait for
            await asyncio.sleep(0.01)


def whole(offset: int, **options: Any) -> Any:
    return record(EVENT, {"id": f"w{offset}"}, offset=offset, **options)


def request(offset: int, event_id: str, **options: Any) -> Any:
    return record(REQUEST, {"type": REQUEST_TYPE, "id": event_id}, offset=offset, **options)


def response(offset: int, event_id: str, **options: Any) -> Any:
    return record(RESPONSE, {"type": RESPONSE_TYPE, "id": event_id}, offset=offset, **options)


async def test_complete_events_are_acknowledged_once_kafka_and_a_snapshot_have_them(
    broker: Broker, worker: Any
) -> None:
    own = await worker()
    broker.gate.clear()
    await own.process(whole(1), whole(2))
    await asyncio.sleep(0.01)
    assert own.acked == []
    broker.gate.set()
    await own.settled()
    assert own.acked == []
    await own.snapshotted()
    assert own.acked == [2]
    assert [row["id"] for row in broker.interactions()] == ["events-2-1-0", "events-2-2-0"]


async def test_a_bad_record_goes_to_the_dead_letters_alone(broker: Broker, worker: Any) -> None:
    own = await worker()
    await own.process(whole(1), record(b"{", offset=2), record(None, offset=3), whole(4))
    await own.snapshotted()
    assert broker.dead() == [("events.dlq", b"{", "truncated_json")]
    assert [row["source_offset"] for row in broker.interactions()] == [1, 4]
    assert own.acked == [4]


async def test_a_bad_call_of_several_goes_to_the_dead_letters_alone_and_comes_back_alone(
    broker: Broker, worker: Any
) -> None:
    own = await worker()
    calls = [CALL, {**CALL, "id": "late", "startTime": 1.0}, {**CALL, "id": "3"}]
    await own.process(record(calls, headers=[("x-own", b"1")], offset=1))
    await own.snapshotted()
    ((_, value, options),) = [sent for sent in broker.sent if sent[0] == "events.dlq"]
    letter = letter_of(
        record(value, headers=options["headers"], key=options["key"], topic="events.dlq")
    )
    assert (letter.reason, letter.call, letter.offset) == ("time_in_past", 1, 1)
    assert (json.loads(letter.value or b""), letter.headers) == (calls[1], [("x-own", b"1")])
    assert [row["id"] for row in broker.interactions()] == ["events-2-1-0", "events-2-1-2"]
    patient = await worker(max_past_s=1e10)
    await patient.process(record(letter.value, headers=letter.headers, offset=2))
    await patient.snapshotted()
    ids = [row["id"] for row in broker.interactions()]
    assert ids == ["events-2-1-0", "events-2-1-2", "events-2-2-0"]


async def test_calls_that_are_sent_again_are_told_once_across_a_kill(
    broker: Broker, worker: Any
) -> None:
    def post(offset: int, *names: str) -> Any:
        calls = [{**CALL, "id": name} for name in names]
        return record(calls, headers=[], key=None, offset=offset)

    first = await worker()
    await first.process(post(1, "a", "b"))
    await first.snapshotted()
    await first.process(post(2, "b", "c"))  # delivered, but killed before the next snapshot
    await first.settled()
    assert first.acked == [1]
    second = await worker()
    await second.process(post(2, "b", "c"), post(3, "a", "c", "d"))
    await second.snapshotted()
    assert [row["id"] for row in broker.interactions()] == [
        "events-2-1-0", "events-2-1-1", "events-2-2-1", "events-2-3-2",
    ]  # fmt: skip
    assert second.role.counts["duplicate"] == 3


async def test_a_topic_that_was_made_anew_begins_anew(broker: Broker, worker: Any) -> None:
    own = await worker()
    await own.process(whole(8), whole(9))
    await own.role.release({SOURCE})
    again = await worker()
    await again.process(whole(9), whole(0, timestamp=BROKER_MS + 1), whole(1))
    await again.snapshotted()
    assert again.role.counts["replayed"] == 1
    assert again.role.counts["interactions"] == 2


async def test_waiting_halves_hold_acknowledgements_until_a_snapshot(
    broker: Broker, worker: Any
) -> None:
    own = await worker()
    await own.process(request(1, "a"))
    await own.settled()
    assert own.acked == []
    await own.role.release({SOURCE})
    await own.role.release({SOURCE})
    assert own.acked == [1]


async def test_regular_snapshots_let_acknowledgements_go(broker: Broker, worker: Any) -> None:
    own = await worker(snapshot_interval_s=0.01)
    await own.process(request(1, "a"))
    await until(lambda: own.acked == [1])


async def test_a_restarted_worker_joins_what_the_killed_one_had_waiting(
    broker: Broker, worker: Any
) -> None:
    first = await worker()
    await first.process(request(1, "a"), request(2, "b"))
    await first.role.release({SOURCE})
    second = await worker()
    await second.process(request(2, "b"), response(3, "a"), response(4, "b"))
    await second.settled()
    assert [row["id"] for row in broker.interactions()] == ["events-2-1-0", "events-2-2-0"]
    assert all(row["label"] == 1 for row in broker.interactions())
    assert second.role.counts["replayed"] == 1


async def test_a_crash_after_delivery_repeats_the_same_positions(
    broker: Broker, worker: Any
) -> None:
    records = [request(1, "a"), whole(2), response(3, "a"), whole(4)]
    first = await worker()
    await first.process(*records)
    await first.settled()
    assert first.acked == []
    once = broker.interactions()
    second = await worker()
    for item in records:
        await second.process(item)
    await second.settled()
    assert len(broker.sent) > 1
    assert broker.interactions() == once
    assert len(once) == 3


async def test_a_quiet_partition_gives_up_its_halves_in_a_snapshot(
    broker: Broker, worker: Any
) -> None:
    own = await worker(join_timeout_s=0.02, snapshot_interval_s=0.01)
    await own.process(request(1, "a"))
    owned = own.role._owned[SOURCE]
    await until(lambda: bool(broker.interactions()) and not owned.decided_unwritten)
    (row,) = broker.interactions()
    assert (row["source_offset"], row["source_index"]) == (1, 0)
    assert dict(row["params"])["vedette.join"] == "orphan_request"


async def test_decided_orphans_are_repeated_alike_after_a_crash(
    broker: Broker, worker: Any
) -> None:
    first = await worker(join_timeout_s=0.01)
    await first.process(request(1, "a"))
    await asyncio.sleep(0.02)
    broker.gate.clear()  # the snapshot is written, the orphan never gets out
    crashing = asyncio.create_task(first.role._snapshot(first.role._owned[SOURCE]))
    await asyncio.sleep(0.2)
    crashing.cancel()
    assert first.acked == [1]
    broker.gate.set()
    await worker()
    (row,) = broker.interactions()
    assert (row["id"], row["source_offset"], row["source_index"]) == ("events-2-1-0", 1, 0)


async def test_deliveries_that_fail_for_a_while_are_repeated(broker: Broker, worker: Any) -> None:
    own = await worker()
    broker.failures = [KafkaTimeoutError(), KafkaTimeoutError()]
    await own.process(whole(1))
    await own.snapshotted()
    assert own.acked == [1]
    assert len(broker.interactions()) == 1


async def test_a_refusal_for_good_stops_the_worker_unacknowledged(
    broker: Broker, worker: Any
) -> None:
    own = await worker()
    broker.failures = [TopicAuthorizationFailedError()]
    await own.process(whole(1))
    with pytest.raises(Fatal):
        await own.process(whole(2))
    assert own.acked == []


async def test_a_dead_letter_without_room_for_headers_leaves_its_value_out(
    broker: Broker, worker: Any
) -> None:
    own = await worker()
    broker.failures = [MessageSizeTooLargeError()]
    await own.process(record(b"x" * 5000, offset=1))
    await own.settled()
    assert broker.dead() == [("events.dlq", None, "malformed_json")]


async def test_a_partition_that_was_lost_is_left_alone(broker: Broker, worker: Any) -> None:
    own = await worker()
    stale = Chunk(Partition("events", 9), [whole(1)], lambda: own.acked.append(1))
    await own.role.process(stale)
    assert (own.acked, broker.sent) == ([], [])


class Meeting(Worker):
    """The same role, where it owns a partition in which halves meet."""

    def __init__(self, role: ingest.IngestRole, partition: int) -> None:
        super().__init__(role)
        self.place = Partition(HALVES, partition)

    async def meet(self, halves: list[tuple[int, bytes]]) -> None:
        records = [
            record(value, headers=[], topic=HALVES, offset=offset)
            for offset, (_, value) in enumerate(halves)
        ]
        await self.role.assigned({self.place})
        await self.role.process(Chunk(self.place, records, lambda: self.acked.append(99)))
        await self.role._owned[self.place].delivered()


SHARED = {"topics": ("events",), "sources": {"events": SourceSettings(join="shared")}}


@pytest.mark.parametrize("response_first", [False, True])
async def test_halves_of_a_shared_source_meet_in_one_partition_and_join(
    broker: Broker, worker: Any, response_first: bool
) -> None:
    own = await worker(**SHARED)
    makers = (response, request) if response_first else (request, response)
    await own.process(*(make(offset, "a") for offset, make in enumerate(makers, 1)))
    await own.settled()
    assert broker.interactions() == []
    assert own.acked == [2]
    sent = broker.halves()
    assert len({partition for partition, _ in sent}) == 1
    assert b"alice" not in b"".join(value for _, value in sent)  # pseudonyms alone are written
    meeting = Meeting(own.role, sent[0][0])
    await meeting.meet(sent)
    (row,) = broker.interactions()
    own_id = f"events-2-{1 + response_first}-0"
    assert (row["id"], row["label"], row["source"]) == (own_id, 1, HALVES)
    await own.role.release({meeting.place})
    assert own.role.counts["joined"] == 1
    assert own.role.counts["reordered"] == int(response_first)


async def test_whole_calls_of_a_shared_source_are_told_once_however_they_are_spread(
    broker: Broker, worker: Any
) -> None:
    own = await worker(**SHARED)
    await own.process(whole(1), record(EVENT, {"id": "w1"}, offset=2))
    await own.settled()
    assert broker.interactions() == []
    sent = broker.halves()
    assert len(sent) == 2
    await Meeting(own.role, sent[0][0]).meet(sent)
    (row,) = broker.interactions()
    assert (row["id"], row["source"], row["label"]) == ("events-2-1-0", HALVES, 1)


async def test_a_half_is_acknowledged_once_it_is_where_halves_meet(
    broker: Broker, worker: Any
) -> None:
    own = await worker(**SHARED)
    broker.gate.clear()
    await own.process(request(1, "a"))
    await asyncio.sleep(0.01)
    assert own.acked == []
    broker.gate.set()
    await own.settled()
    assert own.acked == [1]


async def test_a_record_that_is_no_half_is_a_dead_letter(broker: Broker, worker: Any) -> None:
    own = await worker()
    await Meeting(own.role, 1).meet([(1, b"\xc1"), (1, b"\x95\x63\xa0\xa0\x01\x90")])
    assert [(topic, reason) for topic, _, reason in broker.dead()] == [
        ("vedette.halves.v1.dlq", "bad_half")
    ] * 2


async def test_a_topic_of_another_number_of_partitions_stops_the_start(
    broker: Broker, worker: Any
) -> None:
    broker.partitions = 3
    with pytest.raises(ConfigError, match="has 3 partitions, but VEDETTE_PARTITIONS is 4"):
        await worker()


async def test_settings_of_a_source_that_is_not_read_are_refused(worker: Any) -> None:
    with pytest.raises(ConfigError, match="names other"):
        await worker(sources={"other": SourceSettings()})
