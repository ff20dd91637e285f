"""What the fetching thread makes of aiokafka's fetches."""

from __future__ import annotations

import hashlib
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher as stock
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.records import Fetched
from streams.transport.thread import KeptRecords, keep_columns
from tests.unit.fetches import batch_of

OURS, OTHER = TopicPartition("ours", 0), TopicPartition("other", 0)
#: Of the stock methods that are leant on. When one changes, read what changed, adapt ours, run the
#: integration tests of the transport, then update the digest.
DIGESTS = {
    stock.Fetcher._proc_fetch_request: "59bf948fff47eed5",
    stock.FetchResult.getall: "3e717e30de5068d5",
    stock.FetchResult.check_assignment: "b5340df67e3f330f",
    stock.PartitionRecords.__next__: "63ac34a08c309098",
    stock.PartitionRecords._unpack_records: "b803e6d46480732c",
}


def records(count: int) -> list[Any]:
    return [
        SimpleNamespace(
            offset=10 + place, timestamp=place, key=None, value=b"v%d" % place, headers=()
        )
        for place in range(count)
    ]


class Assignment:
    """Both partitions, as they stand before anything is read of them."""

    active = True

    def __init__(self) -> None:
        self.states = {tp: State() for tp in (OURS, OTHER)}

    def state_value(self, tp: TopicPartition) -> State:
        return self.states[tp]


class State:
    paused = False
    position = 10

    def consumed_to(self, position: int) -> None:
        self.position = position


class Fetcher:
    """As much of aiokafka's fetcher as takes a response."""

    def __init__(self, data: bytes, isolation: int = stock.READ_UNCOMMITTED) -> None:
        self.assignment = Assignment()
        self._data, self._isolation = data, isolation
        self._records: dict[TopicPartition, Any] = {}

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> bool:
        for tp in (OURS, OTHER):
            unread = stock.PartitionRecords(
                tp, stock.MemoryRecords(self._data), [], 10, None, None, True, self._isolation
            )  # fmt: skip
            self._records[tp] = stock.FetchResult(
                tp, assignment=self.assignment, partition_records=unread, backoff=0
            )
        return True


async def taken(fetcher: Fetcher) -> dict[TopicPartition, list[Any]]:
    keep_columns(fetcher, {"ours"})
    assert await fetcher._proc_fetch_request(None, 0, None)
    return {tp: result.getall() for tp, result in fetcher._records.items()}


async def test_a_batch_topic_brings_one_whole_and_others_their_records() -> None:
    fetcher = Fetcher(batch_of(records(3)))
    found = await taken(fetcher)
    (whole,) = found[OURS]
    assert isinstance(whole, Fetched)
    assert [record.value for record in whole] == [record.value for record in found[OTHER]]
    assert {state.position for state in fetcher.assignment.states.values()} == {13}


async def test_a_fetch_without_records_moves_on() -> None:
    control = bytearray(batch_of(records(2)))
    control[22] |= 0x20
    control[17:21] = calc_crc32c(bytes(control[21:])).to_bytes(4, "big")
    fetcher = Fetcher(bytes(control))
    assert (await taken(fetcher))[OURS] == []
    assert fetcher.assignment.states[OURS].position == 12


async def test_what_is_read_only_when_committed_is_left_to_aiokafka() -> None:
    found = await taken(Fetcher(batch_of(records(2)), stock.READ_COMMITTED))
    assert [record.value for record in found[OURS]] == [b"v0", b"v1"]


def test_every_consumer_of_the_process_reads_as_before() -> None:
    assert stock.MemoryRecords is KeptRecords
    unread = KeptRecords(batch_of(records(2)))
    assert [record.value for record in unread.next_batch()] == [b"v0", b"v1"]


@pytest.mark.parametrize("method", DIGESTS, ids=lambda method: method.__qualname__)
def test_the_stock_method_is_the_one_we_read(method: Any) -> None:
    digest = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]
    assert digest == DIGESTS[method]
