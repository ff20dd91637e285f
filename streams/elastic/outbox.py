"""The documents of closed windows on their way: saved with the log before they are sent.

A worker that is killed finds them in the state and sends them again, under the same ids; what
had arrived is looked up first, because an id is unique in one backing index only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from elasticsearch import ApiError
from elasticsearch import ConnectionError as ElasticConnectionError

from streams.elastic.bulk import Item
from streams.elastic.streams import window_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticsearch import AsyncElasticsearch

    from streams.elastic.bulk import BulkWriter
    from streams.elastic.logs import Due

log = structlog.get_logger(__name__)

_PAGE = 1000


class Outbox:
    """Sends the documents of windows.

    Parameters
    ----------
    client
        Looks up what has arrived.
    bulk
        Sends.
    namespace
        Of the data stream.
    """

    def __init__(self, client: AsyncElasticsearch, bulk: BulkWriter, namespace: str) -> None:
        self._client = client
        self._bulk = bulk
        self._stream = window_stream(namespace)

    async def send(self, due: Sequence[Due]) -> None:
        """Return when the documents are there; one that is refused is told and left out.

        A window is an account of records that are kept: it can be made anew from them.
        """
        refused = await self._bulk.write([Item(self._stream, item.id, item.body) for item in due])
        if refused:
            reasons = sorted({reason for _, reason in refused})
            log.error("windows were refused", windows=len(refused), reasons=reasons)

    async def arrived(self, due: Sequence[Due]) -> list[Due]:
        """Return those that are there already, as far as they can be looked up."""
        found: set[str] = set()
        try:
            await self._client.indices.refresh(index=self._stream, ignore_unavailable=True)
            for first in range(0, len(due), _PAGE):
                answer = await self._client.search(
                    index=self._stream,
                    ignore_unavailable=True,
                    size=2 * _PAGE,
                    source=False,
                    query={"ids": {"values": [item.id for item in due[first : first + _PAGE]]}},
                )
                found.update(hit["_id"] for hit in answer["hits"]["hits"])
        except (ApiError, ElasticConnectionError) as error:
            # Create with the same id refuses doubles, unless a rollover came between.
            log.warning("windows could not be looked up", error=type(error).__name__)
        return [item for item in due if item.id in found]
