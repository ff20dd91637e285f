"""Serve: requests become answers of a signed model, computed in micro-batches.

Each request gives one complete event (request and response) on the responses topic, in the same
partition; one that is refused gives an event with status 400 and the reason. Only what cannot be
answered, for want of an id or a caller, goes to the dead letters. Offsets are acknowledged after
the broker has acknowledged all events of a chunk.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from config.errors import ConfigError, PoisonRecord, Transient
from models.batching import BatchLimits, MicroBatcher
from models.device import limit_threads
from models.errors import UntrustedError
from models.registry import Registry
from streams.decode.reasons import poison
from streams.dlq import DeadLetters
from streams.metrics.catalogue import SIGNATURE_CHECKS
from streams.producer import Producer
from streams.roles.background import Background
from streams.serve.answers import complete_body, event_headers, failure_body, refusal_body
from streams.serve.requests import ModelInput, RequestReader
from streams.topics import REQUESTS, RESPONSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from config.settings import Settings
    from models.registry import LoadedModel
    from streams.roles.base import Chunk, Partition, Record

log = structlog.get_logger(__name__)

#: Chunks whose answers may be on their way at once.
MAX_IN_FLIGHT = 8
RELEASE_TIMEOUT_S = 20.0
_OK, _BAD_REQUEST, _FAILED = 200, 400, 500


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Read(NamedTuple):
    """What was read of a chunk: requests or refusals to answer, and what has no address."""

    records: list[Record]
    requests: list[ModelInput | PoisonRecord]
    unanswerable: list[tuple[Record, PoisonRecord]]


class ServeRole:
    """Answers requests with one verified model."""

    name = "serve"
    topics = (REQUESTS,)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._background = Background()
        self._model: LoadedModel | None = None
        self._batcher: MicroBatcher | None = None
        self._reader: RequestReader | None = None

    async def start(self) -> None:
        """Verify and load the model, then connect."""
        self._model = await asyncio.to_thread(self._load)
        architecture = self._model.architecture
        serve = self._settings.serve
        limit_threads(1)
        self._batcher = MicroBatcher(
            self._model.module,
            BatchLimits(
                max_rows=serve.max_batch_rows,
                max_bytes=serve.max_batch_bytes,
                max_delay_s=serve.max_delay_ms / 1000,
            ),
            device=serve.device,
        )
        self._reader = RequestReader(self._settings.ingest, architecture)
        log.info(
            "model loaded",
            model=architecture.name,
            version=architecture.version,
            digest=self._model.digest,
        )
        await self._producer.start()

    async def assigned(self, partitions: set[Partition]) -> None:
        """Do nothing: answering keeps no state."""

    async def process(self, chunk: Chunk) -> None:
        """Take a chunk on its way; it is acknowledged when its answers are durable."""
        await self._in_flight.acquire()
        try:
            self._background.check()
        except BaseException:
            self._in_flight.release()
            raise
        self._background.spawn(self._answer_chunk(chunk), name="serve chunk")

    async def release(self, partitions: set[Partition]) -> None:  # noqa: ARG002 - all are waited for
        """Wait until what is in flight is durable."""
        await self._background.finish(RELEASE_TIMEOUT_S)

    async def stop(self) -> None:
        """End the inference thread and disconnect."""
        await self._background.cancel()
        if self._batcher is not None:
            await asyncio.to_thread(self._batcher.close)
        await self._producer.stop()
        self._background.check()

    def _load(self) -> LoadedModel:
        registry = Registry(self._settings.models, self._settings.home / "keys")
        name = self._settings.serve.model
        if name is None:
            names = registry.names()
            if len(names) != 1:
                raise ConfigError(
                    "set VEDETTE_SERVE__MODEL to the model to serve; registered: "
                    f"{', '.join(names) or 'none'}"
                )
            name = names[0]
        try:
            loaded = registry.load(name)
        except UntrustedError:
            SIGNATURE_CHECKS.labels("refused").inc()
            raise
        SIGNATURE_CHECKS.labels("ok").inc()
        return loaded

    async def _answer_chunk(self, chunk: Chunk) -> None:
        try:
            started_s = time.perf_counter()
            read = await asyncio.to_thread(self._read, chunk.records)
            letters = [
                await self._dead_letters.send(record, error, self.name)
                for record, error in read.unanswerable
            ]
            good = [item.rows for item in read.requests if isinstance(item, ModelInput)]
            logits = await self._infer(good)
            answers = await asyncio.to_thread(self._answers, read.requests, logits)
            latency_us = round((time.perf_counter() - started_s) * 1e6)
            deliveries = [
                await self._send(record, answer, latency_us)
                for record, answer in zip(read.records, answers, strict=True)
            ]
            await asyncio.gather(*letters, *deliveries)
            chunk.ack()
        finally:
            self._in_flight.release()

    def _read(self, records: Sequence[Record]) -> _Read:
        assert self._reader is not None  # noqa: S101 - set by start
        read = _Read([], [], [])
        for record in records:
            try:
                attributes = self._reader.envelope(record)
            except PoisonRecord as error:
                read.unanswerable.append((record, error))
                continue
            read.records.append(record)
            try:
                read.requests.append(self._reader.read(attributes, record.value))
            except PoisonRecord as error:
                read.requests.append(error)
        return read

    async def _infer(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        """Return the logits of all rows; None if the model failed on them."""
        assert self._batcher is not None  # noqa: S101 - set by start
        if not rows:
            return None
        stacked = np.concatenate(rows)
        while True:
            try:
                return await asyncio.wrap_future(self._batcher.submit(stacked))
            except Transient as error:
                await asyncio.sleep(error.retry_after_s)
            except (RuntimeError, ValueError) as error:
                log.critical("inference failed", error=type(error).__name__)
                return None

    def _answers(
        self, read: list[ModelInput | PoisonRecord], logits: NDArray[np.float32] | None
    ) -> list[_Answer]:
        """Build one answer for each request; ``logits`` follow the order of the good ones."""
        answers, start = [], 0
        for given in read:
            if isinstance(given, PoisonRecord):
                answers.append(_refuse(given))
                continue
            stop = start + len(given.rows)
            answers.append(self._answer(given, None if logits is None else logits[start:stop]))
            start = stop
        return answers

    def _answer(self, given: ModelInput, logits: NDArray[np.float32] | None) -> _Answer:
        assert self._model is not None  # noqa: S101 - set by start
        if logits is None:
            return _Answer(_FAILED, failure_body(given.body, "inference failed"))
        body = complete_body(given.body, logits, self._model.architecture)
        if len(body) > self._settings.ingest.max_record_bytes:
            return _refuse(poison("too_large"))  # with its answer it would not be watched
        return _Answer(_OK, body)

    async def _send(
        self, record: Record, answer: _Answer, latency_us: int
    ) -> asyncio.Future[object]:
        assert self._model is not None  # noqa: S101 - set by start
        headers = event_headers(
            record, self._model.architecture, status=answer.status, latency_us=latency_us
        )
        return await self._producer.send(
            RESPONSES,
            answer.body,
            key=record.key,
            partition=record.partition,
            headers=headers,
            timestamp_ms=record.timestamp if record.timestamp > 0 else None,
        )


def _refuse(error: PoisonRecord) -> _Answer:
    return _Answer(_BAD_REQUEST, refusal_body(error))


def make(settings: Settings) -> ServeRole:
    """Build the role."""
    return ServeRole(settings)
