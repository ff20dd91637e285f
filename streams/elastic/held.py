"""What a stream holds of a log already, looked up when the log's partition is taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from elasticsearch import ApiError
from elasticsearch import ConnectionError as ElasticConnectionError

from streams.ledger.log import first_of_tiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from elasticsearch import AsyncElasticsearch

    from streams.elastic.logs import SavedLog

log = structlog.get_logger(__name__)

_PAGE = 10_000


async def filled_places(client: AsyncElasticsearch, stream: str, saved: SavedLog) -> set[int]:
    """Return the places after the saved ones that hold a document already.

    An id is unique in one backing index only; after a rollover a replay would make doubles.
    """
    try:
        return {place async for place, _ in _documents(client, stream, saved, saved.size)}
    except (ApiError, ElasticConnectionError) as error:
        # Create with a fixed id still refuses doubles, unless a rollover came between.
        log.warning("replays could not be looked up", error=type(error).__name__)
        return set()


async def open_leaves(client: AsyncElasticsearch, stream: str, saved: SavedLog) -> list[bytes]:
    """Return the hashes of the saved records whose tiles are not published; none if one is gone."""
    first = first_of_tiles(saved.closed)
    found: dict[int, bytes] = {}
    try:
        found = {
            place: leaf
            async for place, leaf in _documents(client, stream, saved, first, saved.size)
        }
    except (ApiError, ElasticConnectionError) as error:
        log.warning("hashes could not be looked up", error=type(error).__name__)
    if len(found) < saved.size - first:
        return []
    return [found[place] for place in range(first, saved.size)]


async def _documents(
    client: AsyncElasticsearch, stream: str, saved: SavedLog, first: int, end: int | None = None
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield places and hashes of a log's documents from one place on, in order."""
    await client.indices.refresh(index=stream, ignore_unavailable=True)
    while end is None or first < end:
        hits = await _page(client, stream, saved.origin, {"gte": first, **_below(end)})
        for hit in hits:
            event = hit["_source"]["event"]
            yield int(event["sequence"]), bytes.fromhex(event["hash"])
        if len(hits) < _PAGE:
            return
        first = int(hits[-1]["sort"][0]) + 1


async def _page(
    client: AsyncElasticsearch, stream: str, origin: str, places: dict[str, int]
) -> list[dict[str, Any]]:
    answer = await client.search(
        index=stream,
        ignore_unavailable=True,
        size=_PAGE,
        source_includes=["event.sequence", "event.hash"],
        query={
            "bool": {
                "filter": [
                    {"term": {"vedette.chain.log": origin}},
                    {"range": {"event.sequence": places}},
                ]
            }
        },
        sort=[{"event.sequence": "asc"}],
    )
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _below(end: int | None) -> dict[str, int]:
    return {} if end is None else {"lt": end}
