"""Halves of sources whose halves are scattered meet in one partition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from config.errors import ConfigError
from config.settings import SourceSettings
from streams.roles.base import Chunk, Partition
from streams.topics import HALVES
from tests.unit.decode.records import (
    EVENT,
    record,
)
from tests.unit.ingest.roles import Broker, Worker, request, response, whole

if TYPE_CHECKING:
    from streams.roles import ingest


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
