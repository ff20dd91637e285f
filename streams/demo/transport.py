"""The served model as its users reach it: requests into Kafka, answers out of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer

from config.errors import Fatal, Transient
from streams.kafka import admin_options, aiokafka_options
from streams.topics import REQUESTS, RESPONSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import KafkaSettings
    from streams.demo.attacks.target import Images, Scores

SOURCE = "vedette/demo"
REQUEST_TYPE = "io.vedette.inference.request.v1"
SCORES_OUTPUT = "probabilities"
FETCH_WAIT_MS = 50
LINGER_MS = 5
ANSWER_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
UNSIGNED_MAX = 255


class Signature(NamedTuple):
    """What a model wants to be asked, in the words of the Open Inference Protocol."""

    model: str
    tensor: str
    shape: tuple[int, ...]
    datatype: str

    def body(self, image: Images) -> bytes:
        """Return the request body for one image within [0, 1]."""
        if self.datatype == "UINT8":
            data: list[Any] = np.rint(image * UNSIGNED_MAX).astype(np.uint8).ravel().tolist()
        else:
            data = [round(value, 5) for value in image.ravel().tolist()]
        tensor = {
            "name": self.tensor,
            "shape": [1, *self.shape],
            "datatype": self.datatype,
            "data": data,
        }
        return msgspec.json.encode({"inputs": [tensor]})


class TopicReader:
    """Reads a topic from now on, all partitions, without a consumer group.

    Parameters
    ----------
    settings
        Where the broker is.
    topic
        What to read.
    handle
        Told each record.
    """

    def __init__(self, settings: KafkaSettings, topic: str, handle: Callable[[Any], None]) -> None:
        self._settings = settings
        self._topic = topic
        self._handle = handle
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Stand at the end of the topic before anything else is sent.

        Raises
        ------
        Fatal
            If the topic does not exist.
        """
        # Roles write with snappy, which kafka-python could not read without further packages.
        self._consumer = AIOKafkaConsumer(
            self._topic, **aiokafka_options(self._settings), fetch_max_wait_ms=FETCH_WAIT_MS
        )
        await self._consumer.start()
        partitions = self._consumer.assignment()
        if not partitions:
            raise Fatal(f"there is no topic {self._topic}: run `vedette topics apply`")
        await self._consumer.seek_to_end(*partitions)
        for partition in partitions:
            await self._consumer.position(partition)
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def _read(self) -> None:
        async for record in self._consumer:
            self._handle(record)


class KafkaModel:
    """Posts requests of any client and hands the answers to whoever waits for them.

    Parameters
    ----------
    settings
        Where the broker is.
    signature
        Of the model.
    """

    def __init__(self, settings: KafkaSettings, signature: Signature) -> None:
        self._settings = settings
        self._signature = signature
        self._producer: Any = None
        self._reader = TopicReader(settings, RESPONSES, self._answered)
        self._waiting: dict[str, asyncio.Future[Scores]] = {}
        self.sent = 0
        self.answered = 0

    async def start(self) -> None:
        """Connect the producer and the reader of answers."""
        await asyncio.to_thread(self._connect)
        await self._reader.start()

    async def stop(self) -> None:
        """Deliver what is pending and disconnect."""
        await self._reader.stop()
        if self._producer is not None:
            await asyncio.to_thread(self._producer.close, timeout=STOP_TIMEOUT_S)
        for future in self._waiting.values():
            future.cancel()

    def post(self, client: str, image: Images) -> str:
        """Send one request without waiting for its answer; return its id."""
        number = self.sent = self.sent + 1
        identity = f"demo-{number:07d}"
        self._producer.send(
            REQUESTS,
            self._signature.body(image),
            key=client.encode(),
            headers=self._headers(identity, client),
        )
        return identity

    async def ask(self, client: str, images: Images) -> Scores:
        """Send a request per image and return the probabilities answered, (n, classes).

        Raises
        ------
        Transient
            If an answer does not come in time.
        """
        loop = asyncio.get_running_loop()
        futures = []
        for image in images:
            future: asyncio.Future[Scores] = loop.create_future()
            self._waiting[f"demo-{self.sent + 1:07d}"] = future
            self.post(client, image)
            futures.append(future)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return np.stack([await future for future in futures])
        except TimeoutError:
            raise Transient(f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from None

    def _connect(self) -> None:
        from kafka import KafkaProducer  # noqa: PLC0415 - warns on import, tests turn that to errors

        self._producer = KafkaProducer(
            **admin_options(self._settings), linger_ms=LINGER_MS, acks="all"
        )
        self._producer.partitions_for(REQUESTS)

    def _headers(self, identity: str, client: str) -> list[tuple[str, bytes]]:
        attributes = {
            "specversion": "1.0",
            "id": identity,
            "source": SOURCE,
            "type": REQUEST_TYPE,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "client": client,
            "model": self._signature.model,
        }
        pairs = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        return [("content-type", b"application/json"), *pairs]

    def _answered(self, record: Any) -> None:
        """Hand an answer to whoever waits for it."""
        self.answered += 1
        identity = next((value for name, value in record.headers if name == "ce_id"), b"").decode()
        future = self._waiting.pop(identity, None)
        if future is None or future.done():
            return
        scores = scores_of(record.value)
        if scores is None:
            future.set_exception(Transient("the model refused a request"))
        else:
            future.set_result(scores)


class _Output(msgspec.Struct):
    name: str
    data: list[Any]


class _Response(msgspec.Struct):
    outputs: list[_Output] = []
    error: str | None = None


class _Event(msgspec.Struct):
    response: _Response


_EVENT_DECODER = msgspec.json.Decoder(_Event)


def scores_of(value: bytes) -> Scores | None:
    """Return the probabilities of a complete event, None if the model refused."""
    event = _EVENT_DECODER.decode(value)
    for output in event.response.outputs:
        if output.name == SCORES_OUTPUT:
            return np.asarray(output.data, np.float32).ravel()
    return None
