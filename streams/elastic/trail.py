"""Reads the logs of the trail in Elasticsearch, for those who check them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.elastic.document import record_of
from streams.elastic.streams import checkpoint_stream, logged_streams
from streams.ledger.log import Segment

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from elasticsearch import Elasticsearch

    from streams.ledger.verify import EntryTuple

PAGE = 2000
MAX_LOGS = 10_000


class ElasticTrail:
    """The logs of the trail.

    Parameters
    ----------
    client
        With a reader's key.
    namespace
        Of the data streams.
    """

    may_expire = True

    def __init__(self, client: Elasticsearch, namespace: str) -> None:
        self._client = client
        self._logged = logged_streams(namespace)
        self._checkpoints = checkpoint_stream(namespace)

    def origins(self) -> Mapping[str, int]:
        """Return the size of every log by its origin."""
        sizes: dict[str, int] = {}
        for index, field in (
            (self._logged, "vedette.chain.log"),
            (self._checkpoints, "vedette.checkpoint.log"),
        ):
            answer = self._client.search(
                index=index,
                ignore_unavailable=True,
                size=0,
                aggs={"logs": {"terms": {"field": field, "size": MAX_LOGS}}},
            )
            for bucket in answer.get("aggregations", {}).get("logs", {}).get("buckets", []):
                sizes.setdefault(bucket["key"], bucket["doc_count"])
        return dict(sorted(sizes.items()))

    def segments(self, origin: str) -> Sequence[Segment]:
        """Return the closed segments of a log by size."""
        found = self._pages(
            self._checkpoints,
            {"term": {"vedette.checkpoint.log": origin}},
            [{"vedette.checkpoint.size": "asc"}],
        )
        return [_segment(hit["_source"]) for hit in found]

    def entries(self, origin: str) -> Iterator[EntryTuple]:
        """Yield the records of a log by position."""
        found = self._pages(
            self._logged, {"term": {"vedette.chain.log": origin}}, [{"event.sequence": "asc"}]
        )
        return (_entry(hit["_source"]) for hit in found)

    def leaves(self, origin: str, first: int, end: int) -> Sequence[bytes]:
        """Return the hashes of the records ``[first, end)``."""
        query = {
            "bool": {
                "filter": [
                    {"term": {"vedette.chain.log": origin}},
                    {"range": {"event.sequence": {"gte": first, "lt": end}}},
                ]
            }
        }
        found = self._pages(self._logged, query, [{"event.sequence": "asc"}])
        return [bytes.fromhex(hit["_source"]["event"]["hash"]) for hit in found]

    def find(self, event_id: str) -> tuple[str, int, bytes] | None:
        """Return origin, position and record of a document."""
        answer = self._client.search(
            index=self._logged,
            ignore_unavailable=True,
            size=1,
            query={"term": {"event.id": event_id}},
        )
        for hit in answer["hits"]["hits"]:
            source = hit["_source"]
            origin, position = source["vedette"]["chain"]["log"], source["event"]["sequence"]
            return origin, position, record_of(source) or b""
        return None

    def hashes(self, event_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the recorded hashes of the documents that are there."""
        found: dict[str, bytes] = {}
        for first in range(0, len(event_ids), PAGE):
            wanted = list(event_ids[first : first + PAGE])
            answer = self._client.search(
                index=self._logged,
                ignore_unavailable=True,
                size=2 * PAGE,
                source_includes=["event.id", "event.hash"],
                query={"terms": {"event.id": wanted}},
            )
            for hit in answer["hits"]["hits"]:
                event = hit["_source"]["event"]
                found[event["id"]] = _hash(event.get("hash"))
        return found

    def strays(self) -> Sequence[str]:
        """Return ids of documents that belong to no log."""
        answer = self._client.search(
            index=self._logged,
            ignore_unavailable=True,
            size=1000,
            source_includes=["event.id"],
            query={"bool": {"must_not": {"exists": {"field": "vedette.chain.log"}}}},
        )
        return [hit["_source"].get("event", {}).get("id", "") for hit in answer["hits"]["hits"]]

    def erasures(self) -> Mapping[str, Container[int]]:
        """Return, by origin, the places whose document says that its content was withheld.

        Whoever may write can withhold: compare them with the dead letters.
        """
        places: dict[str, set[int]] = {}
        found = self._pages(
            self._logged,
            {"exists": {"field": "vedette.chain.withheld"}},
            [{"event.sequence": "asc"}],
        )
        for hit in found:
            source = hit["_source"]
            origin = source["vedette"]["chain"].get("log", "")
            places.setdefault(origin, set()).add(_position(source["event"].get("sequence")))
        return places

    def _pages(
        self, index: str, query: dict[str, Any], sort: list[dict[str, str]]
    ) -> Iterator[dict[str, Any]]:
        """Yield hits in order, page by page."""
        after = None
        # The id breaks ties: two documents at one place are a fault that must be seen.
        order = [*sort, {"event.id": "asc"}]
        while True:
            answer = self._client.search(
                index=index,
                ignore_unavailable=True,
                size=PAGE,
                query=query,
                sort=order,
                search_after=after,
                track_total_hits=False,
            )
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < PAGE:
                return
            after = hits[-1]["sort"]


def _segment(source: Mapping[str, Any]) -> Segment:
    kept = source["vedette"]["checkpoint"]
    return Segment(
        origin=kept["log"],
        first=kept["first"],
        size=kept["size"],
        blocks=tuple(kept["blocks"]),
        note=kept["note"],
    )


def _entry(source: Mapping[str, Any]) -> EntryTuple:
    event = source["event"]
    return (
        _position(event.get("sequence")),
        str(event.get("id", "")),
        _hash(event.get("hash")),
        _hash(source["vedette"]["chain"].get("link")),
        record_of(source),
    )


def _position(value: object) -> int:
    """Return a place; whatever is none becomes one where nothing belongs."""
    return value if isinstance(value, int) and value >= 0 else -1


def _hash(text: object) -> bytes:
    """Return the bytes of a hash; whatever is none becomes none that fits."""
    try:
        return bytes.fromhex(str(text))
    except ValueError:
        return b""
