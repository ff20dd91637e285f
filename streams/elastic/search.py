"""Searches the trail in Elasticsearch as `streams.store.search` does in the embedded store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.elastic.streams import window_stream
from streams.respond.times import event_time, iso, microseconds
from streams.store.search import MAX_LIMIT, Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from elasticsearch import Elasticsearch

    from streams.store.search import Query

PAGE = 1000
MAX_WINDOWS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TERMS = {
    "client": "related.user",
    "model": "vedette.model.name",
    "tenant": "organization.id",
    "rule": "rule.id",
}


#: What ECS calls the kinds that the embedded store names otherwise.
_KINDS = {"dlq": "pipeline_error"}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class ElasticReader:
    """The trail in Elasticsearch as commands read it.

    Parameters
    ----------
    client
        With a reader's key.
    namespace
        Of the data streams.
    """

    def __init__(self, client: Elasticsearch, namespace: str) -> None:
        self._client = client
        datasets = ("audit", "alert", "dlq")
        self._windows = window_stream(namespace)
        self._index = ",".join(f"logs-vedette.{dataset}-{namespace}" for dataset in datasets)

    def search(self, query: Query) -> list[Document]:
        """Return the newest documents that match, newest first."""
        found: list[Document] = []
        limit = max(0, min(query.limit, MAX_LIMIT))
        for document in self._pages(query, "desc"):
            if len(found) >= limit:
                break
            found.append(document)
        return found

    def stream(self, query: Query) -> Iterator[Document]:
        """Yield all documents that match, oldest first."""
        return self._pages(query, "asc")

    def get(self, event_id: str) -> Document | None:
        """Return the document of an interaction or alert id."""
        answer = self._client.search(
            index=self._index,
            ignore_unavailable=True,
            size=1,
            query={"term": {"event.id": event_id}},
        )
        for hit in answer["hits"]["hits"]:
            return _document(hit["_source"])
        return None

    def windows(self, query: Query) -> list[bytes]:
        """Return the documents of the newest windows, newest first."""
        answer = self._client.search(
            index=self._windows,
            ignore_unavailable=True,
            size=max(0, min(query.limit, MAX_WINDOWS)),
            query=search_query(query),
            sort=[{"@timestamp": "desc"}, {"event.id": "asc"}],
        )
        return [msgspec.json.encode(hit["_source"]) for hit in answer["hits"]["hits"]]

    def _pages(self, query: Query, order: str) -> Iterator[Document]:
        after = None
        while True:
            answer = self._client.search(
                index=self._index,
                ignore_unavailable=True,
                size=PAGE,
                query=search_query(query),
                sort=[{"@timestamp": order}, {"event.id": order}],
                search_after=after,
                track_total_hits=False,
            )
            hits = answer["hits"]["hits"]
            for hit in hits:
                yield _document(hit["_source"])
            if len(hits) < PAGE:
                return
            after = hits[-1]["sort"]


def search_query(query: Query) -> dict[str, Any]:
    """Translate a query."""
    filters: list[dict[str, Any]] = [
        {"term": {field: getattr(query, name)}}
        for name, field in _TERMS.items()
        if getattr(query, name) is not None
    ]
    if query.kind is not None:
        filters.append({"term": {"event.kind": _KINDS.get(query.kind, query.kind)}})
    if query.text is not None:
        filters.append({"match_phrase": {"message": query.text}})
    if query.ids is not None:
        filters.append({"terms": {"event.id": msgspec.json.decode(query.ids)}})
    times = {
        name: iso(_EPOCH + timedelta(microseconds=value))
        for name, value in (("gte", query.since_us), ("lt", query.until_us))
        if value is not None
    }
    if times:
        filters.append({"range": {"@timestamp": times}})
    return {"bool": {"filter": filters}}


def _document(source: Mapping[str, Any]) -> Document:
    event, own = source.get("event", {}), source.get("vedette", {})
    try:
        ts = microseconds(event_time(str(source.get("@timestamp"))))
    except PoisonRecord:
        ts = 0
    return Document(
        seq=int(event.get("sequence", 0)),
        event_id=str(event.get("id", "")),
        ts=ts,
        kind=_NAMES.get(str(event.get("kind")), str(event.get("kind", ""))),
        client=_text(source.get("user", {}).get("id")),
        model=_text(own.get("model", {}).get("name")),
        rule_id=_text(source.get("rule", {}).get("id")),
        tenant=_text(source.get("organization", {}).get("id")),
        body=msgspec.json.encode(source),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
