"""The clients that people have, in formats that people have: everything arrives, joined."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from aiokafka import AIOKafkaProducer

from streams.topics import HALVES, INTERACTIONS
from tests.integration.ingesting import LONG, Reader, Worker, create_topics, read_until, settings_of
from tests.unit.decode.producers import CALL
from tests.unit.decode.records import EVENT, REQUEST, RESPONSE
from tests.unit.decode.wire import infer_request, infer_response, infer_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

CLIENTS = 7


class Post(NamedTuple):
    """A record of a producer."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Client(Protocol):
    """Posts records, and returns once the broker has them."""

    async def post(self, broker: str, posts: Iterator[Post]) -> None: ...


class KafkaPython:
    async def post(self, broker: str, posts: Iterator[Post]) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=broker)
        for post in posts:
            producer.send(post.topic, key=post.key, value=post.value, headers=post.headers)
        producer.flush()
        producer.close()


class Confluent:
    async def post(self, broker: str, posts: Iterator[Post]) -> None:
        module = pytest.importorskip("confluent_kafka")
        producer = module.Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
            }
        )
        for post in posts:
            while True:
                try:
                    producer.produce(post.topic, post.value, post.key, headers=post.headers)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0


class AioKafka:
    async def post(self, broker: str, posts: Iterator[Post]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            for post in posts:
                await producer.send(post.topic, post.value, key=post.key, headers=post.headers)
            await producer.flush()
        finally:
            await producer.stop()


CLIENT_LIBRARIES: dict[str, type[Client]] = {
    "kafka-python": KafkaPython,
    "confluent-kafka": Confluent,
    "aiokafka": AioKafka,
}


def kserve(topic: str, count: int) -> Iterator[Post]:
    """Both halves of each call, every tenth pair reordered, as Knative's broker writes them."""
    for number in range(count):
        client = f"c{number % CLIENTS}"
        halves = [("request", REQUEST), ("response", RESPONSE)]
        for half, body in reversed(halves) if number % 10 == 9 else halves:
            attributes = {
                "specversion": "1.0", "type": f"org.kubeflow.serving.inference.{half}",
                "source": "s", "id": f"k{number}", "inferenceservicename": "m", "client": client,
                "modelversion": str(number),
            }  # fmt: skip
            headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
            yield Post(topic, client.encode(), json.dumps(body).encode(), headers)


def structured(topic: str, count: int) -> Iterator[Post]:
    """Whole calls as structured CloudEvents."""
    content_type = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    for number in range(count):
        client = f"c{number % CLIENTS}"
        event = {
            "specversion": "1.0", "type": "io.vedette.inference.v1", "source": "s",
            "id": f"v{number}", "client": client, "modelversion": str(number), "data": EVENT,
        }  # fmt: skip
        yield Post(topic, client.encode(), json.dumps(event).encode(), content_type)


def litellm(topic: str, count: int) -> Iterator[Post]:
    """Whole calls as LiteLLM tells them."""
    for number in range(count):
        client = f"c{number % CLIENTS}"
        metadata = {"user_api_key_user_id": client}
        call = {**CALL, "startTime": time.time(), "model": str(number), "metadata": metadata}
        yield Post(topic, client.encode(), json.dumps(call).encode(), [])


FORMATS: dict[str, Callable[[str, int], Iterator[Post]]] = {
    "kserve": kserve,
    "structured": structured,
    "litellm": litellm,
}


@pytest.fixture
def worker(broker: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(topics: list[str]) -> Worker:
        instance = Worker(
            {
                **settings_of(broker, tmp_path),
                "VEDETTE_INGEST__TOPICS": json.dumps(topics),
                "VEDETTE_INGEST__SNAPSHOT_INTERVAL_S": "0.3",
            }
        )
        instance.start()
        workers.append(instance)
        return instance

    yield start
    for instance in workers:
        instance.end(signal.SIGKILL)


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=LONG)])
async def test_every_client_in_every_format_arrives_joined_in_order(
    broker: str, worker: Callable[..., Worker], count: int
) -> None:
    run = uuid.uuid4().hex[:8]
    topics = {
        (library, kind): f"it.{library}.{kind}.{run}"
        for library in CLIENT_LIBRARIES
        for kind in FORMATS
    }
    await create_topics(broker, *topics.values())
    role = worker(list(topics.values()))
    for (library, kind), topic in topics.items():
        await CLIENT_LIBRARIES[library]().post(broker, FORMATS[kind](topic, count))
    for topic in topics.values():
        reader = Reader(topic)
        await read_until(broker, INTERACTIONS, lambda found, r=reader: r.has(count, found))
        _all_there(reader.rows, count)
    assert role.end(signal.SIGTERM) == 0


def _all_there(rows: list[dict[str, Any]], count: int) -> None:
    assert len({row["id"] for row in rows}) == len(rows) == count
    assert not any("vedette.join" in dict(row["params"] or ()) for row in rows)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        numbers[row["client"]].append(int(row["model_version"]))
    assert len(numbers) == CLIENTS
    assert all(found == sorted(found) for found in numbers.values())


async def test_both_topics_of_a_seldon_model_meet_in_a_third(
    broker: str, worker: Callable[..., Worker]
) -> None:
    base = f"seldon.{uuid.uuid4().hex[:8]}.model.iris"
    topics = [f"{base}.inputs", f"{base}.outputs"]
    await create_topics(broker, *topics)
    role = worker(topics)
    output = infer_response([infer_tensor("INT64", [1])], [b"\x01" + b"\0" * 7])
    halves = [("inputs", "Request", infer_request()), ("outputs", "Response", output)]
    count = 300

    def posts() -> Iterator[Post]:
        for number in range(count):
            for topic, kind, message in halves:
                headers = [
                    ("pipeline", b"p"),
                    ("x-request-id", b"x%d" % number),
                    ("seldon-infer-type", f"proto/InferModel{kind}".encode()),
                    ("x-api-key", b"c%d" % (number % CLIENTS)),
                ]
                yield Post(f"{base}.{topic}", b"0.p.x%d" % number, message, headers)

    await AioKafka().post(broker, posts())
    reader = Reader(HALVES)

    def ours() -> list[dict[str, Any]]:
        return [row for row in reader.rows if row["id"].startswith(base)]

    def enough(found: list[Any]) -> bool:
        reader.has(count, found)
        return len(ours()) >= count

    await read_until(broker, INTERACTIONS, enough)
    rows = ours()
    assert len({row["id"] for row in rows}) == len(rows) == count
    assert all(row["label"] == 1 and row["input"] == b"\x07" for row in rows)
    assert Counter(row["model"] for row in rows) == {"iris": count}
    assert len({row["client"] for row in rows}) == CLIENTS
    assert role.end(signal.SIGTERM) == 0
