"""The private seams of Faust that the batch transport overrides are still what they were."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from aiokafka import AIOKafkaConsumer
from faust.serializers.schemas import Schema
from faust.transport.consumer import Consumer as StockBase
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as StockConsumer
from faust.transport.drivers.aiokafka import Producer as StockProducer
from faust.transport.drivers.aiokafka import Transport as StockTransport

from streams.transport import BatchSchema, BatchTransport
from streams.transport.consumer import BatchConsumer
from streams.transport.producer import IdempotentProducer
from streams.transport.thread import FETCH_MAX_WAIT_MS, FetchThread

OVERRIDDEN = [
    (StockConsumer, BatchConsumer, "_new_consumer_thread"),
    (AIOKafkaConsumerThread, FetchThread, "_create_worker_consumer"),
    (AIOKafkaConsumerThread, FetchThread, "on_start"),
    (StockConsumer, BatchConsumer, "_drain_messages"),
    (StockConsumer, BatchConsumer, "on_buffer_full"),
    (StockConsumer, BatchConsumer, "ack"),
    (StockConsumer, BatchConsumer, "_filter_tps_with_pending_acks"),
    (StockConsumer, BatchConsumer, "_new_offset"),
    (StockConsumer, BatchConsumer, "_commit_offsets"),
    (StockConsumer, BatchConsumer, "on_partitions_assigned"),
    (StockConsumer, BatchConsumer, "on_partitions_revoked"),
    (StockConsumer, BatchConsumer, "wait_empty"),
    (StockProducer, IdempotentProducer, "_settings_extra"),
    (Schema, BatchSchema, "compile"),
]

#: Source digests of the stock methods we replace whole or lean on. When one changes, read what
#: changed, adapt ours, run the integration tests of the transport, then update the digest.
DIGESTS = {
    "_drain_messages": "44a2500309e83c63",
    "getmany": "4b168d84882a70d6",
    "_wait_next_records": "6218e1969a636b3f",
    "ack": "5fcf41cf45153475",
    "wait_empty": "e4662fe24f094819",
    "_new_offset": "1d2c7ea89a7ad4f1",
    "_commit_offsets": "1a69799041188441",
    "_filter_tps_with_pending_acks": "f6f9239774234e7e",
    "_filter_committable_offsets": "dc5e9baf5d994485",
    "_should_commit": "5ce941793947ad42",
    "on_buffer_full": "c8961679e0bcdce5",
    "on_partitions_assigned": "29ce96596f05a18c",
    "on_partitions_revoked": "d04b7ae72c6fc206",
    "perform_seek": "0e8c130ff4b0afd8",
    "_add_gap": "4df2573ded7c1c2c",
    "commit": "a354437baaa08bf8",
}


@pytest.mark.parametrize(("stock", "ours", "name"), OVERRIDDEN)
def test_an_overridden_seam_keeps_its_parameters(stock: type, ours: type, name: str) -> None:
    assert name in vars(ours)
    assert parameters(getattr(ours, name)) == parameters(getattr(stock, name))


@pytest.mark.parametrize("name", DIGESTS)
def test_the_stock_method_is_the_one_we_read(name: str) -> None:
    source = inspect.getsource(inspect.unwrap(getattr(StockBase, name)))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == DIGESTS[name]


def test_the_driver_takes_our_consumer_and_producer() -> None:
    assert BatchTransport.Consumer is BatchConsumer
    assert BatchTransport.Producer is IdempotentProducer
    assert {"Consumer", "Producer"} <= vars(StockTransport).keys()


def test_silent_partitions_hold_up_no_others() -> None:
    consumer = AIOKafkaConsumer.__new__(AIOKafkaConsumer)
    thread = FetchThread.__new__(FetchThread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: consumer)
        assert thread._create_worker_consumer(None)._fetch_max_wait_ms == FETCH_MAX_WAIT_MS
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)


def test_the_watchdog_is_a_task_that_starts_with_the_consumer() -> None:
    from mode.services import ServiceTask

    assert isinstance(vars(BatchConsumer)["_watch_coordinator"], ServiceTask)


def parameters(method: object) -> list[tuple[str, object, object]]:
    signature = inspect.signature(method)
    return [(p.name, p.kind, p.default is p.empty) for p in signature.parameters.values()]
