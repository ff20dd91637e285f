"""The server: a request is answered with 202 once Kafka has acknowledged all of it.

| answer | means |
| --- | --- |
| 202 | every event is durable |
| 400, 415 | the sender is wrong; the reason is in the body |
| 401 | no token, or another one |
| 408, 413 | the body came too slowly, or is too large |
| 429 | too much waits already: come back after ``Retry-After`` seconds |
| 503 | Kafka did not acknowledge in time: send it again |
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from config.errors import PoisonRecord
from streams.intake.access import access_of
from streams.intake.door import TimedProtocol
from streams.intake.gate import Gate
from streams.intake.metrics import ANSWERS, EVENTS
from streams.intake.posts import CloudEventsReader, LiteLlmReader
from streams.partition import partition_of
from streams.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.typedefs import Handler

    from config.settings import Settings
    from streams.intake.posts import Post

log = structlog.get_logger(__name__)

_RETRY_AFTER_S = "1"
_CHUNK_BYTES = 64 << 10
_JSON_TYPES = ("application/json", "application/x-ndjson", "application/ndjson")


class TopicSender(Sender, Protocol):
    """A sender that knows how many partitions a topic has."""

    async def partitions_of(self, topic: str) -> int:
        """Return the number of partitions of a topic."""


class Reader(Protocol):
    """What turns a body into records."""

    def read(self, headers: Mapping[str, str], body: bytes, /) -> list[Post]:
        """Return the records."""


class Intake:
    """Takes POSTs to the source topic.

    Parameters
    ----------
    settings
        Process settings.
    sender
        Started producer.

    Attributes
    ----------
    counts
        Answers by (format, status), and ``events`` written.
    """

    def __init__(self, settings: Settings, sender: TopicSender) -> None:
        self._settings = settings.intake
        self._sender = sender
        self._access = access_of(settings.intake)
        self._gate = Gate(
            max_requests=settings.intake.max_waiting_requests,
            max_bytes=settings.intake.max_waiting_bytes,
        )
        self._readers: dict[str, Reader] = {
            "cloudevents": CloudEventsReader(settings.ingest.max_identity_bytes),
            "litellm": LiteLlmReader(settings.ingest.max_batch_rows),
        }
        self._partitions = 0
        self.counts: Counter[tuple[str, int] | str] = Counter()

    def application(self) -> web.Application:
        """Return the application; the paths name the formats."""
        app = web.Application(middlewares=[_take_time])
        app.router.add_post("/", self._handler("cloudevents"))
        app.router.add_post("/cloudevents", self._handler("cloudevents"))
        app.router.add_post("/litellm", self._handler("litellm"))
        app.router.add_get("/health", self._health)
        return app

    async def open(self) -> None:
        """Learn how many partitions the topic has.

        Raises
        ------
        aiokafka.errors.KafkaError
            If it does not exist.
        """
        self._partitions = await self._sender.partitions_of(self._settings.topic)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    def _handler(self, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            response = await self._take(kind, request)
            self.counts[kind, response.status] += 1
            ANSWERS.labels(kind, str(response.status)).inc()
            return response

        return handle

    async def _take(self, kind: str, request: web.Request) -> web.Response:
        refusal = self._refusal(kind, request)
        if refusal is not None:
            return refusal
        size_bytes = request.content_length
        reserved = self._settings.max_body_bytes if size_bytes is None else size_bytes
        with self._gate.admit(reserved) as admitted:
            if not admitted:
                return _answer(429, "too much waits already")
            try:
                body = await self._read(request)
                posts = self._readers[kind].read(request.headers, body)
            except PoisonRecord as error:
                return _answer(400, str(error))
            except _Refused as error:
                return _answer(error.status, error.text)
            return await self._write(posts)

    def _refusal(self, kind: str, request: web.Request) -> web.Response | None:
        """Refuse by the headers alone, before a byte of the body is read."""
        if not self._access.admits(request.headers.get("Authorization")):
            return _answer(401, "a bearer token is needed")
        if (request.content_length or 0) > self._settings.max_body_bytes:
            return _answer(413, "the body is larger than intake.max_body_bytes")
        # Nothing that a web page may send without asking first: it could be anybody's browser.
        if kind == "litellm" and request.content_type not in _JSON_TYPES:
            return _answer(415, "the content type must be JSON or NDJSON")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _answer(415, "compressed bodies are not taken")
        if request.content_type == "application/cloudevents-batch+json":
            return _answer(415, "events are taken one by one, not in batches")
        return None

    async def _read(self, request: web.Request) -> bytes:
        chunks: list[bytes] = []
        size_bytes = 0
        try:
            async with asyncio.timeout(self._settings.read_timeout_s):
                async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
                    size_bytes += len(chunk)
                    if size_bytes > self._settings.max_body_bytes:
                        raise _Refused(413, "the body is larger than intake.max_body_bytes")
                    chunks.append(chunk)
        except TimeoutError:
            raise _Refused(408, "the body came too slowly") from None
        return b"".join(chunks)

    async def _write(self, posts: list[Post]) -> web.Response:
        """Write all records; a sender that is told to repeat may make duplicates, never gaps."""
        try:
            async with asyncio.timeout(self._settings.acknowledge_timeout_s):
                pending = [await self._send(post) for post in posts]
                await asyncio.gather(*pending)
        except MessageSizeTooLargeError:
            return _answer(413, "an event is larger than the topic takes")
        except (KafkaError, TimeoutError) as error:
            log.warning("intake.not_acknowledged", reason=type(error).__name__)
            return _answer(503, "Kafka did not acknowledge")
        self.counts["events"] += len(posts)
        EVENTS.inc(len(posts))
        return web.Response(status=202)

    async def _send(self, post: Post) -> asyncio.Future[object]:
        return await self._sender.send(
            self._settings.topic,
            post.value,
            partition=partition_of(post.place.encode(), self._partitions),
            headers=post.headers,
        )


@web.middleware
async def _take_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that the head of its request is whole."""
    transport = request.transport
    protocol = None if transport is None else transport.get_protocol()
    if not isinstance(protocol, TimedProtocol):
        return await handler(request)
    with protocol.busy():
        return await handler(request)


class _Refused(Exception):
    """A body that is not read to its end."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _answer(status: int, text: str) -> web.Response:
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER_S
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, text=text + "\n", headers=headers)
