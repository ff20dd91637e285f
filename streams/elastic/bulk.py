"""Writes documents to data streams: every one of them gets an outcome.

Documents are created under ids that are functions of their place in the log, so whatever is not
known to have arrived is sent again. What the server cannot take now is retried for as long as
it takes; while it is, nobody downstream acknowledges anything, and Kafka holds the rest.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from elastic_transport import ConnectionError as ElasticConnectionError
from elastic_transport import ConnectionTimeout, TlsError
from elasticsearch import ApiError, UnsupportedProductError

from config.errors import Fatal
from streams.elastic.client import error_type
from streams.elastic.errors import AccessRefused, NotSetUp
from streams.elastic.in_flight import InFlight
from streams.elastic.metrics import DOCUMENTS, RETRIES, WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from elasticsearch import AsyncElasticsearch

    from config.settings import ElasticSettings

log = structlog.get_logger(__name__)

FILTER_PATH = "took,errors,items.*.status,items.*.error.type,items.*._id,items.*.failure_store"
FIRST_DELAY_S = 0.2
MAX_DELAY_S = 15.0
#: Not taken now, or not known whether it was.
_LATER = frozenset({408, 429, 500, 502, 503, 504})
_TOO_LARGE = 413
_TOO_MANY = 429
#: A request larger than all memory that the server has for indexing would be refused for ever.
OVERLOADS_BEFORE_HALVING = 4


class Item(NamedTuple):
    """A document on its way."""

    stream: str
    id: str
    body: bytes


class Refusal(NamedTuple):
    """A document that the stream will never hold, and why: Elasticsearch's name, or parked."""

    item: Item
    reason: str


class _Rest(NamedTuple):
    """What has to be sent again, and whether because there was too much of it."""

    items: list[Item]
    overloaded: bool


class _TooLarge(Exception):
    """The server takes smaller requests only."""


class BulkWriter:
    """Creates documents, as many requests at a time as the server takes.

    Parameters
    ----------
    client
        As `streams.elastic.client.make_client` gives it.
    settings
        Sizes of requests.
    """

    def __init__(self, client: AsyncElasticsearch, settings: ElasticSettings) -> None:
        self._client = client
        self._settings = settings
        self.in_flight = InFlight(settings.max_requests)
        self._stalled = False

    async def write(self, items: Sequence[Item]) -> list[Refusal]:
        """Return when every item is stored or refused for good; the refused ones.

        Raises
        ------
        AccessRefused, NotSetUp, Fatal
            If nothing can be written until somebody changes something.
        """
        parts = self._split(items)
        tasks = [asyncio.ensure_future(self._deliver(part)) for part in parts]
        try:
            found = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return [refusal for refusals in found for refusal in refusals]

    def _split(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        part: list[Item] = []
        size = 0
        for item in items:
            full = len(part) >= self._settings.batch_documents
            if part and (full or size + len(item.body) > self._settings.batch_bytes):
                yield part
                part, size = [], 0
            part.append(item)
            size += len(item.body)
        if part:
            yield part

    async def _deliver(self, part: list[Item]) -> list[Refusal]:
        """Send a part until nothing of it is left."""
        refused: list[Refusal] = []
        failures = overloads = 0
        while part:
            try:
                async with self.in_flight:
                    rest, overloaded = await self._attempt(part, refused)
            except _TooLarge:
                return refused + await self._deliver_halves(part)
            failures = failures + 1 if len(rest) == len(part) else 1
            overloads = overloads + 1 if overloaded and len(rest) == len(part) else 0
            part = rest
            if part:
                RETRIES.inc(len(part))
                longest_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(failures, 16))
                await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 - jitter
            if overloads >= OVERLOADS_BEFORE_HALVING and len(part) > 1:
                return refused + await self._deliver_halves(part)
        return refused

    async def _deliver_halves(self, part: list[Item]) -> list[Refusal]:
        """Send in two requests what the server does not take in one."""
        middle = len(part) // 2
        halves = [await self._deliver(half) for half in (part[:middle], part[middle:])]
        return [refusal for half in halves for refusal in half]

    async def _attempt(self, part: list[Item], refused: list[Refusal]) -> _Rest:
        """Send once; return what has to be sent again."""
        try:
            answer = await self._client.bulk(
                operations=_lines(part), require_data_stream=True, filter_path=FILTER_PATH
            )
        except TlsError:
            raise Fatal(
                "the certificate of Elasticsearch is not trusted; set VEDETTE_ELASTIC__CA_FILE "
                "or VEDETTE_ELASTIC__FINGERPRINT"
            ) from None
        except UnsupportedProductError:
            raise Fatal("what answers at VEDETTE_ELASTIC__URLS is no Elasticsearch") from None
        except (ElasticConnectionError, ConnectionTimeout) as error:
            self._slow_down(type(error).__name__)
            return _Rest(part, overloaded=False)
        except ApiError as error:
            return self._request_refused(part, refused, error)
        rest = self._sort_out(part, answer.body["items"], refused)
        if rest:
            return _Rest(rest, overloaded=True)
        self.in_flight.grow()
        WINDOW.set(self.in_flight.size)
        self._tell_recovery()
        return _Rest([], overloaded=False)

    def _request_refused(self, part: list[Item], refused: list[Refusal], error: ApiError) -> _Rest:
        if error.status_code in _LATER:
            self._slow_down(str(error.status_code))
            return _Rest(part, overloaded=error.status_code == _TOO_MANY)
        if error.status_code in (401, 403):
            raise AccessRefused(error.status_code)
        if error.status_code == _TOO_LARGE:
            if len(part) > 1:
                raise _TooLarge
            refused.append(Refusal(part[0], "too_large"))
            DOCUMENTS.labels(outcome="refused").inc()
            return _Rest([], overloaded=False)
        raise Fatal(f"Elasticsearch refuses a request ({error.status_code}, {error_type(error)})")

    def _sort_out(
        self, part: list[Item], answers: Sequence[dict[str, Any]], refused: list[Refusal]
    ) -> list[Item]:
        """Give each item its outcome; return those that have to be sent again."""
        rest = []
        for item, answer in zip(part, answers, strict=True):
            (result,) = answer.values()
            outcome = outcome_of(result)
            if outcome == "retry":
                rest.append(item)
            elif outcome in ("refused", "parked"):
                refused.append(Refusal(item, "parked" if outcome == "parked" else _reason(result)))
            if outcome != "retry":
                DOCUMENTS.labels(outcome=outcome).inc()
        if rest:
            self._slow_down("429")
        return rest

    def _slow_down(self, why: str) -> None:
        self.in_flight.halve()
        WINDOW.set(self.in_flight.size)
        if not self._stalled:
            self._stalled = True
            log.warning("Elasticsearch takes no documents now, waiting", why=why)

    def _tell_recovery(self) -> None:
        if self._stalled:
            self._stalled = False
            log.info("Elasticsearch takes documents again")


def outcome_of(result: dict[str, Any]) -> str:
    """Return what became of one document: created, parked, replayed, refused or retry.

    Raises
    ------
    AccessRefused, NotSetUp
        If no other document would fare better.
    """
    status = int(result["status"])
    if status == 201:
        # The failure store takes what the mapping refuses, and says so only here.
        return "parked" if result.get("failure_store") == "used" else "created"
    if status == 409:
        return "replayed"
    if status in _LATER:
        return "retry"
    if status in (401, 403):
        raise AccessRefused(status)
    if status == 404:
        raise NotSetUp
    return "refused"


def _reason(result: dict[str, Any]) -> str:
    return str(result.get("error", {}).get("type", "unknown"))[:100]


def _lines(part: Sequence[Item]) -> list[Any]:
    """Return pairs of action and body; the client passes bytes through."""
    lines: list[bytes] = []
    for item in part:
        lines.append(f'{{"create":{{"_index":"{item.stream}","_id":"{item.id}"}}}}'.encode())
        lines.append(item.body)
    return lines
