"""Every document gets an outcome, whatever the server does."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from config.errors import Fatal
from config.settings import ElasticSettings
from streams.elastic.bulk import BulkWriter, Item, outcome_of
from streams.elastic.client import make_client
from streams.elastic.errors import AccessRefused, NotSetUp
from streams.elastic.in_flight import InFlight
from streams.elastic.metrics import DOCUMENTS, RETRIES
from tests.unit.elastic.stub import parked, refuse


@pytest.fixture
async def writer(elastic):
    client = make_client(elastic)
    yield BulkWriter(client, elastic)
    await client.close()


def items(count, first=0):
    return [
        Item("logs-vedette.audit-t", f"x.{n}", b'{"n":%d}' % n) for n in range(first, first + count)
    ]


def stored(stub):
    return sorted(document["n"] for document in stub.documents.values())


def counted(outcome):
    return DOCUMENTS.labels(outcome=outcome)._value.get()


async def test_documents_are_created_in_requests_of_bounded_size(writer, stub):
    assert await writer.write(items(25)) == []
    assert stored(stub) == list(range(25))
    assert sorted(stub.requests) == [5, 10, 10]


async def test_a_replay_is_a_success(writer, stub):
    before = counted("replayed")
    await writer.write(items(5))
    assert await writer.write(items(8)) == []
    assert stored(stub) == list(range(8))
    assert counted("replayed") == before + 5


@pytest.mark.parametrize("status", [429, 503, 502, 504, 500, 408])
async def test_a_request_that_is_not_taken_now_is_sent_again(writer, stub, status):
    stub.answers = [status, status, status]
    assert await writer.write(items(10)) == []
    assert stored(stub) == list(range(10))


async def test_only_the_items_that_were_not_taken_are_sent_again(writer, stub):
    before = RETRIES._value.get()
    stub.answers = [refuse(429, "es_rejected_execution_exception", ids={"x.3", "x.7"})]
    assert await writer.write(items(10)) == []
    assert stub.requests == [10, 2]
    assert set(stub.creates.values()) == {1}
    assert RETRIES._value.get() == before + 2


async def test_an_answer_that_never_arrives_makes_no_doubles(writer, stub):
    stub.answers = ["cut", "cut"]
    assert await writer.write(items(10)) == []
    assert stored(stub) == list(range(10))
    assert max(stub.creates.values()) == 3


async def test_a_slow_server_is_waited_for(stub, elastic):
    client = make_client(elastic.model_copy(update={"timeout_s": 0.05}))
    stub.slow_s = 0.2
    writing = asyncio.ensure_future(BulkWriter(client, elastic).write(items(3)))
    await asyncio.sleep(0.3)
    stub.slow_s = 0.0
    assert await writing == []
    await client.close()
    assert stored(stub) == [0, 1, 2]


async def test_what_the_mapping_refuses_comes_back_with_its_reason(writer, stub):
    stub.answers = [refuse(400, "document_parsing_exception", ids={"x.4"})]
    (refusal,) = await writer.write(items(10))
    assert (refusal.item.id, refusal.reason) == ("x.4", "document_parsing_exception")
    assert len(stored(stub)) == 9


async def test_what_the_failure_store_took_is_not_taken_for_stored(writer, stub):
    before = counted("parked")
    stub.answers = [parked]
    refusals = await writer.write(items(2))
    assert [item.reason for item in refusals] == ["parked", "parked"]
    assert counted("parked") == before + 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (401, AccessRefused),
        (403, AccessRefused),
        (refuse(403, "security_exception"), AccessRefused),
        (refuse(404, "index_not_found_exception"), NotSetUp),
        (400, Fatal),
        (406, Fatal),
    ],
)
async def test_what_needs_a_person_stops_the_writer(writer, stub, answer, expected):
    stub.answers = [answer]
    with pytest.raises(expected) as caught:
        await writer.write(items(3))
    assert "secret" not in str(caught.value)
    assert stub.url not in str(caught.value)


async def test_a_request_too_large_is_halved_until_it_fits(writer, stub):
    stub.answers = [413, 413]
    assert await writer.write(items(8)) == []
    assert stored(stub) == list(range(8))
    assert stub.requests == [8, 4, 2, 2, 4]


async def test_a_request_that_is_always_too_much_is_halved(writer, stub):
    stub.answers = [429] * 4
    assert await writer.write(items(10)) == []
    assert stub.requests == [10, 10, 10, 10, 5, 5]


async def test_an_outage_halves_nothing(writer, stub):
    stub.answers = [503] * 8
    assert await writer.write(items(10)) == []
    assert stub.requests == [10] * 9


async def test_a_single_document_too_large_is_refused(writer, stub):
    stub.answers = [413]
    (refusal,) = await writer.write(items(1))
    assert refusal.reason == "too_large"


async def test_something_else_that_answers_is_refused(writer, stub):
    stub.product = None
    with pytest.raises(Fatal, match="no Elasticsearch"):
        await writer.write(items(1))


async def test_a_server_that_is_away_is_waited_for_and_told_once(elastic, stub):
    gone = ElasticSettings(urls=("http://127.0.0.1:9",), timeout_s=1)
    client = make_client(gone)
    with capture_logs() as logs:
        writing = asyncio.ensure_future(BulkWriter(client, gone).write(items(3)))
        await asyncio.sleep(0.2)
        assert not writing.done()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await client.close()
    assert len(logs) == 1


async def test_overload_halves_the_window_and_success_opens_it_again(writer, stub):
    await writer.write(items(200))
    assert writer.in_flight.size == 4
    stub.answers = [429, 429, 429]
    await writer.write(items(10, first=1000))
    assert writer.in_flight.size == 2  # 4, 2, 1, 1, and one success
    await writer.write(items(400, first=2000))
    assert writer.in_flight.size == 4


async def test_no_more_requests_are_under_way_than_the_window_allows(writer, stub):
    stub.slow_s = 0.005
    await writer.write(items(300))
    assert 2 <= stub.most_under_way <= 4


async def test_a_window_lets_one_through_at_its_smallest():
    window = InFlight(4)
    for _ in range(10):
        window.halve()
    async with window:
        waiting = asyncio.ensure_future(window.__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_outcomes_that_pass_are_retried(status):
    assert outcome_of({"status": status}) == "retry"
