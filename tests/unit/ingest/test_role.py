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

from config.errors import Fatal
from streams.letters import letter_of
from streams.roles.base import Chunk, Partition
from tests.unit.decode.producers import CALL
from tests.unit.decode.records import (
    BROKER_MS,
    EVENT,
    REQUEST,
    REQUEST_TYPE,
    RESPONSE,
    RESPONSE_TYPE,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.unit.ingest.roles import SOURCE, Broker, request, response, until, whole


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


async def test_of_many_dead_letters_one_at_a_time_waits_for_room(
    broker: Broker, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, most = 0, 0
    send = broker.send

    async def slow(*args: Any, **options: Any) -> Any:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0)
        waiting -= 1
        return await send(*args, **options)

    monkeypatch.setattr(broker, "send", slow)
    own = await worker()
    broker.failures = [KafkaTimeoutError(), MessageSizeTooLargeError()]
    await own.process(*(record(b"{%d" % number, offset=number) for number in range(100)))
    await own.settled()
    values = [value for _, value, _ in broker.dead()]
    assert sorted(values, key=str) == sorted(
        [None, *(b"{%d" % n for n in range(100) if n != 1)], key=str
    )
    assert most == 1


async def test_a_partition_that_was_lost_is_left_alone(broker: Broker, worker: Any) -> None:
    own = await worker()
    stale = Chunk(Partition("events", 9), [whole(1)], lambda: own.acked.append(1))
    await own.role.process(stale)
    assert (own.acked, broker.sent) == ([], [])
