"""A dead letter goes back as it came, once, and marked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from config.errors import PoisonRecord
from streams.dlq import dead_letter
from streams.dlq_replay import Replay
from streams.letters import Filter, letter_of

ERROR = PoisonRecord("truncated_json", "cut")


def consumed(letter: Any, offset: int = 17) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        letter.topic, 0, offset, 0, 0, letter.key, letter.value, None, 0, 0, tuple(letter.headers)
    )


def record(*headers: tuple[str, bytes], value: bytes | None = b"\xff") -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("events", 3, 41, 1234, 0, b"k", value, None, 0, 0, headers)


def refused(item: Any, error: PoisonRecord = ERROR) -> Any:
    return consumed(dead_letter(item, error, stage="decode", group="g", failed_at_s=1.5))


class Broker:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, dict[str, Any]]] = []

    async def send(self, topic: str, value: bytes | None, **options: Any) -> asyncio.Future[object]:
        self.sent.append((topic, value, options))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def test_a_letter_tells_where_it_came_from_and_why() -> None:
    letter = letter_of(refused(record(("ce_id", b"1"))))
    assert (letter.id, letter.topic, letter.partition, letter.offset) == (
        "events.dlq-0-17",
        "events",
        3,
        41,
    )
    assert (letter.reason, letter.stage, letter.message) == (
        "truncated_json",
        "decode",
        "truncated_json: cut",
    )
    assert (letter.key, letter.value, letter.headers) == (b"k", b"\xff", [("ce_id", b"1")])


async def test_a_replay_sends_the_very_bytes_to_the_same_place_with_a_mark() -> None:
    broker = Broker()
    replay = Replay(broker)
    await replay.take([letter_of(refused(record(("ce_id", b"1"), ("ce_id", b"\xfe"))))])
    assert broker.sent[:-1] == [
        (
            "events",
            b"\xff",
            {
                "key": b"k",
                "partition": 3,
                "headers": [("ce_id", b"1"), ("ce_id", b"\xfe"), ("vedette-replayed", b"1")],
                "timestamp_ms": 1234,
            },
        )
    ]
    assert replay.counts == {"replayed": 1}


async def test_a_replayed_record_that_fails_again_is_marked_and_left_alone() -> None:
    again = letter_of(refused(record(("ce_id", b"1"), ("vedette-replayed", b"1"))))
    assert again.replays == 1
    assert (
        dict(refused(record(("vedette-replayed", b"1"))).headers)["__dlq.errors.delivery.count"]
        == b"2"
    )
    broker = Broker()
    replay = Replay(broker)
    await replay.take([again])
    assert (broker.sent, replay.counts) == ([], {"replayed_before": 1})
    await Replay(broker, again=True).take([again])
    assert broker.sent[0][2]["headers"] == [("ce_id", b"1"), ("vedette-replayed", b"2")]


async def test_a_dry_run_counts_and_sends_nothing() -> None:
    replay = Replay(None)
    await replay.take([letter_of(refused(record()))])
    assert replay.counts == {"replayed": 1}


async def test_a_letter_without_its_value_is_not_replayed_and_a_tombstone_is() -> None:
    cut = PoisonRecord("too_large", "x; its value was left out for its size")
    broker = Broker()
    replay = Replay(broker)
    await replay.take([letter_of(refused(record(value=None), cut))])
    await replay.take([letter_of(refused(record(value=None)))])
    assert replay.counts == {"incomplete": 1, "replayed": 1}


async def test_headers_that_look_like_ours_cannot_redirect_a_replay() -> None:
    forged = (("__dlq.errors.topic", b"vedette.audit.v1"), ("vedette-timestamp-ms", b"9"))
    letter = letter_of(refused(record(*forged)))
    broker = Broker()
    await Replay(broker).take([letter])
    topic, _, options = broker.sent[0]
    assert topic == "events"
    assert options["headers"][:2] == list(forged)
    assert options["timestamp_ms"] == 1234


@pytest.mark.parametrize("mark", [b"x", b"-1", b"9" * 50, b""])
def test_a_mark_that_is_forged_counts_as_none(mark: bytes) -> None:
    assert letter_of(refused(record(("vedette-replayed", mark)))).replays == 0


def test_letters_are_chosen_by_reason_and_stage() -> None:
    letter = letter_of(refused(record()))
    assert Filter().matches(letter)
    assert Filter(reason="truncated_json", stage="decode").matches(letter)
    assert not Filter(reason="too_deep").matches(letter)
    assert not Filter(stage="serve").matches(letter)


def test_a_record_that_is_no_letter_of_ours_is_shown_as_it_is() -> None:
    letter = letter_of(ConsumerRecord("t.dlq", 0, 1, 0, 0, None, b"v", None, 0, 0, ()))
    assert (letter.topic, letter.reason, letter.partition, letter.value) == ("t", "", -1, b"v")
