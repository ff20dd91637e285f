"""A panel as the search it stands for: what Kibana would ask Elasticsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import ConfigError
from streams.kibana.spec import TIME

if TYPE_CHECKING:
    from streams.kibana.spec import Measure, Panel

#: Finer than a dashboard's interval; only that buckets come out matters.
INTERVAL = "1h"
_METRICS = {
    "unique_count": "cardinality",
    "average": "avg",
    "sum": "sum",
    "max": "max",
    "min": "min",
}


def panel_search(panel: Panel) -> dict[str, Any]:
    """Return the body of the search of a panel."""
    aggregations: dict[str, Any] = {
        f"measure-{number}": _measure(measure) for number, measure in enumerate(panel.measures)
    }
    if panel.over_time:
        histogram = {"field": TIME, "fixed_interval": INTERVAL, "min_doc_count": 1}
        aggregations = {"time": {"date_histogram": histogram, "aggs": aggregations}}
    for number, terms in reversed(list(enumerate(panel.terms))):
        by = {"terms": {"field": terms.field, "size": terms.size}, "aggs": aggregations}
        aggregations = {f"terms-{number}": by}
    return {"size": 0, "query": kql_query(panel.kql), "aggs": aggregations}


def kql_query(kql: str) -> dict[str, Any]:
    """Translate the part of KQL that the specification uses: ``field : value``, with ``and``.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if not kql:
        return {"match_all": {}}
    parts = [part.partition(":") for part in kql.split(" and ")]
    if not all(field.strip() and colon and value.strip() for field, colon, value in parts):
        raise ConfigError("a filter of a dashboard is `field : value`, joined by `and`")
    terms = [{"term": {field.strip(): value.strip()}} for field, _, value in parts]
    return {"bool": {"filter": terms}}


def _measure(measure: Measure) -> dict[str, Any]:
    metric = _metric(measure)
    inner = {"value": metric} if metric else {}
    return {"filter": kql_query(measure.kql), **({"aggs": inner} if inner else {})}


def _metric(measure: Measure) -> dict[str, Any] | None:
    """Return the aggregation of a measure, None if the count of documents is enough."""
    if measure.operation == "count":
        return None
    if measure.operation == "median":
        return {"percentiles": {"field": measure.field, "percents": [50]}}
    if measure.operation == "percentile":
        return {"percentiles": {"field": measure.field, "percents": [measure.percentile]}}
    return {_METRICS[measure.operation]: {"field": measure.field}}
