"""What was replayed once is not sent again unless asked, and then each record once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from config.errors import PoisonRecord
from streams.dlq import dead_letter
from streams.dlq_marks import MARK_HEADER, Marks, is_mark, mark_headers
from streams.dlq_replay import Replay
from streams.letters import Letter, letter_of
from streams.roles.index import build_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CUT = PoisonRecord("truncated_json", "cut")
SOURCE = "events"
LETTERS = "events.dlq"

Record = ConsumerRecord[Any, Any]
Headers = tuple[tuple[str, bytes], ...]


def record(topic: str, offset: int, value: bytes | None, headers: Headers = ()) -> Record:
    return ConsumerRecord(topic, 0, offset, 5000, 0, b"k", value, None, 0, 0, headers)


class Broker:
    """A source topic whose bad records become letters, and their topic."""

    def __init__(self, *bodies: bytes, refuses: str | bytes = "") -> None:
        self.topics: dict[str, list[Record]] = {SOURCE: [], LETTERS: []}
        self.refuses = refuses
        self._read = 0
        for body in bodies:
            self._append(SOURCE, body, ())
        self.refuse_all()

    def _append(self, topic: str, value: bytes | None, headers: Sequence[Any]) -> None:
        log = self.topics[topic]
        log.append(record(topic, len(log), value, tuple(headers)))

    async def send(
        self, topic: str, value: bytes | None, *, headers: Any = (), **_: Any
    ) -> asyncio.Future[object]:
        acknowledged: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.refuses in (topic, value):
            acknowledged.set_exception(KafkaTimeoutError())
            return acknowledged
        self._append(topic, value, headers)
        acknowledged.set_result(None)
        return acknowledged

    def refuse_all(self) -> None:
        """Refuse whatever came to the source since."""
        for item in self.topics[SOURCE][self._read :]:
            letter = dead_letter(item, CUT, stage="decode", group="g", failed_at_s=1.5)
            self._append(LETTERS, letter.value, letter.headers)
        self._read = len(self.topics[SOURCE])

    def refuse_again(self) -> None:
        """Refuse all again, as a worker does that was killed before its commit."""
        self._read = 0
        self.refuse_all()

    @property
    def values(self) -> list[bytes | None]:
        """What the source topic got."""
        return [item.value for item in self.topics[SOURCE]]

    def letters(self) -> Iterator[Letter]:
        marks = Marks()
        for item in self.topics[LETTERS]:
            marks.take(item) if is_mark(item) else marks.take_letter(letter_of(item))
        for item in self.topics[LETTERS]:
            if not is_mark(item):
                yield marks.told(letter_of(item))

    async def replay(self, **options: Any) -> dict[str, int]:
        replay = Replay(self, **options)
        await replay.take(list(self.letters()))
        return dict(replay.counts)


async def test_a_second_replay_sends_nothing() -> None:
    broker = Broker(b"{", b"[")
    assert await broker.replay() == {"replayed": 2}
    assert await broker.replay() == {"replayed_before": 2}
    assert broker.values == [b"{", b"[", b"{", b"["]
    assert {letter.replayed_at for letter in broker.letters()} == {"1970-01-01T00:00:05.000+00:00"}


async def test_asked_again_it_sends_them_again() -> None:
    broker = Broker(b"{")
    await broker.replay()
    assert await broker.replay(again=True) == {"replayed": 1}
    assert broker.values == [b"{"] * 3


async def test_asked_again_a_record_that_came_back_is_sent_once() -> None:
    broker = Broker(b"{", b"[")
    await broker.replay()
    broker.refuse_all()
    assert [letter.replays for letter in broker.letters()] == [0, 0, 1, 1]
    assert await broker.replay(again=True) == {"replayed": 2, "replayed_before": 2}
    broker.refuse_all()
    await broker.replay(again=True)
    assert broker.values == [b"{", b"["] * 4
    marks = [dict(item.headers).get("vedette-replayed") for item in broker.topics[SOURCE]]
    assert marks == [None, None, b"1", b"1", b"2", b"2", b"3", b"3"]


async def test_equal_records_are_told_apart() -> None:
    broker = Broker(b"{", b"{")
    first, _ = broker.letters()
    replay = Replay(broker)
    await replay.take([first])
    broker.refuse_all()
    assert await broker.replay() == {"replayed": 1, "replayed_before": 2}
    assert broker.values == [b"{"] * 4


async def test_one_that_is_killed_before_its_mark_sends_again_and_loses_nothing() -> None:
    broker = Broker(b"{", refuses=LETTERS)
    with pytest.raises(KafkaTimeoutError):
        await broker.replay()
    broker.refuses = ""
    assert await broker.replay() == {"replayed": 1}
    assert broker.values == [b"{"] * 3


async def test_what_the_broker_did_not_take_is_not_marked() -> None:
    broker = Broker(b"{", b"[")
    broker.refuses = b"["
    with pytest.raises(KafkaTimeoutError):
        await broker.replay()
    assert [bool(letter.replayed_at) for letter in broker.letters()] == [True, False]


async def test_a_dry_run_says_what_would_be_sent_and_marks_nothing() -> None:
    broker = Broker(b"{")
    replay = Replay(None)
    await replay.take(list(broker.letters()))
    assert replay.counts == {"replayed": 1}
    assert [letter.replayed_at for letter in broker.letters()] == [""]


async def test_what_a_killed_worker_wrote_twice_is_sent_once() -> None:
    broker = Broker(b"{", b"[")
    broker.refuse_again()
    assert await broker.replay() == {"replayed": 2, "repeated": 2}
    assert await broker.replay() == {"replayed_before": 4}
    assert await broker.replay(again=True) == {"replayed": 2, "repeated": 2}
    assert broker.values == [b"{", b"["] * 3


async def test_letters_of_others_are_told_apart_by_their_places() -> None:
    broker = Broker()
    broker.topics[LETTERS] += [record(LETTERS, 0, b"{"), record(LETTERS, 1, b"{")]
    assert await broker.replay() == {"replayed": 2}
    assert await broker.replay() == {"replayed_before": 2}


def test_a_producer_cannot_forge_a_mark() -> None:
    forged = record(SOURCE, 3, b"{", tuple(mark_headers([b"0" * 16])))
    letter = dead_letter(forged, CUT, stage="decode", group="g", failed_at_s=1.5)
    assert not is_mark(record(LETTERS, 9, letter.value, tuple(letter.headers)))


def test_a_mark_is_no_document_of_the_audit_trail() -> None:
    assert build_rows([record(LETTERS, 9, None, tuple(mark_headers([b"0" * 16])))]) == ([], [])


@given(st.binary(max_size=200))
def test_a_damaged_mark_says_nothing(text: bytes) -> None:
    broker = Broker(b"{")
    marks = Marks()
    marks.take(record(LETTERS, 1, None, ((MARK_HEADER, text),)))
    (letter,) = broker.letters()
    assert marks.told(letter) == letter
