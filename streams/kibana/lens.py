"""A panel as Lens, by value: the state that Kibana keeps of a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.kibana.spec import TIME

if TYPE_CHECKING:
    from streams.kibana.spec import Measure, Panel, Terms

LAYER = "layer"
TIME_COLUMN = "time"
_TYPES = {"metric": "lnsMetric", "table": "lnsDatatable", "donut": "lnsPie"}
_RECORDS = "___records___"


def lens_attributes(panel: Panel) -> dict[str, Any]:
    """Return the attributes of a by-value Lens panel."""
    return {
        "title": panel.title,
        "description": "",
        "type": "lens",
        "visualizationType": _TYPES.get(panel.chart, "lnsXY"),
        "references": [{"type": "index-pattern", "id": panel.view.id, "name": layer_reference()}],
        "state": {
            "visualization": _visualization(panel),
            "query": {"query": panel.kql, "language": "kuery"},
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {LAYER: _layer(panel)}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def layer_reference() -> str:
    """Return the name under which a layer refers to its data view."""
    return f"indexpattern-datasource-layer-{LAYER}"


def _layer(panel: Panel) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for number, terms in enumerate(panel.terms):
        columns[_terms_id(number)] = _terms_column(terms)
    if panel.over_time:
        columns[TIME_COLUMN] = _time_column()
    for number, measure in enumerate(panel.measures):
        columns[_measure_id(number)] = _measure_column(measure)
    return {
        "columns": columns,
        "columnOrder": list(columns),
        "incompleteColumns": {},
        "sampling": 1,
    }


def _terms_id(number: int) -> str:
    return f"terms-{number}"


def _measure_id(number: int) -> str:
    return f"measure-{number}"


def _time_column() -> dict[str, Any]:
    return {
        "label": TIME,
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": TIME,
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def _terms_column(terms: Terms) -> dict[str, Any]:
    return {
        "label": terms.label,
        "customLabel": True,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": terms.field,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": terms.size,
            "orderBy": {"type": "column", "columnId": _measure_id(0)},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }


def _measure_column(measure: Measure) -> dict[str, Any]:
    column: dict[str, Any] = {
        "label": measure.label,
        "customLabel": True,
        "dataType": "number",
        "operationType": measure.operation,
        "sourceField": measure.field or _RECORDS,
        "isBucketed": False,
        "scale": "ratio",
        "params": {"emptyAsNull": False},
    }
    if measure.percentile is not None:
        column["params"]["percentile"] = measure.percentile
    if measure.kql:
        column["filter"] = {"query": measure.kql, "language": "kuery"}
    return column


def _visualization(panel: Panel) -> dict[str, Any]:
    measures = [_measure_id(number) for number in range(len(panel.measures))]
    groups = [_terms_id(number) for number in range(len(panel.terms))]
    if panel.chart == "metric":
        return {"layerId": LAYER, "layerType": "data", "metricAccessor": measures[0]}
    if panel.chart == "table":
        columns = [{"columnId": column} for column in (*groups, *measures)]
        return {"layerId": LAYER, "layerType": "data", "columns": columns}
    if panel.chart == "donut":
        return {"shape": "donut", "layers": [_donut(groups, measures)]}
    return _xy(panel, groups, measures)


def _donut(groups: list[str], measures: list[str]) -> dict[str, Any]:
    return {
        "layerId": LAYER,
        "layerType": "data",
        "primaryGroups": groups,
        "metrics": measures,
        "numberDisplay": "percent",
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "nestedLegend": False,
    }


def _xy(panel: Panel, groups: list[str], measures: list[str]) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": panel.chart,
        "accessors": measures,
        "xAccessor": TIME_COLUMN if panel.over_time else groups[0],
    }
    if panel.over_time and groups:
        layer["splitAccessor"] = groups[0]
    return {
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "preferredSeriesType": panel.chart,
        "layers": [layer],
    }
