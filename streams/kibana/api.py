"""The specification as bodies of the Dashboards API, which is stable from Kibana 9.5 on.

References
----------
Kibana API, ``PUT /api/dashboards/{id}``: panels of type ``vis`` with their chart inline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.kibana.dashboards import DASHBOARDS
from streams.kibana.objects import dashboard_id
from streams.kibana.spec import TIME

if TYPE_CHECKING:
    from streams.kibana.spec import Control, Dashboard, DataView, Measure, Panel, Terms

#: From this version on dashboards are brought by their own API.
SINCE = (9, 5)
_XY = {
    "line": "line",
    "area_stacked": "area_stacked",
    "bar_stacked": "bar_stacked",
    "bar_horizontal": "bar_horizontal",
}

Body = dict[str, Any]


def dashboard_bodies() -> dict[str, Body]:
    """Return the body of every dashboard by its id."""
    return {dashboard_id(item.key): dashboard_body(item) for item in DASHBOARDS}


def bodies_file() -> bytes:
    """Return all bodies as one file, always the same bytes."""
    text = msgspec.json.encode(dashboard_bodies(), order="sorted")
    return msgspec.json.format(text, indent=2) + b"\n"


def dashboard_body(dashboard: Dashboard) -> Body:
    """Return what is put under the id of a dashboard."""
    return {
        "title": dashboard.title,
        "description": dashboard.description,
        "time_range": {"from": dashboard.since, "to": "now"},
        "panels": [_panel(panel) for panel in dashboard.panels],
        "pinned_panels": [_control(control) for control in dashboard.controls],
    }


def _panel(panel: Panel) -> Body:
    return {
        "type": "vis",
        "id": panel.key,
        "grid": panel.grid._asdict(),
        "config": {"title": panel.title, **_chart(panel), **_query(panel.kql)},
    }


def _chart(panel: Panel) -> Body:
    if panel.chart in _XY:
        return {"type": "xy", "layers": [_layer(panel)]}
    source = {"data_source": _source(panel.view)}
    measures = [_measure(measure) for measure in panel.measures]
    groups = [_terms(terms) for terms in panel.terms]
    if panel.chart == "metric":
        return {"type": "metric", **source, "metrics": [{"type": "primary", **measures[0]}]}
    if panel.chart == "donut":
        return {"type": "pie", **source, "metrics": measures, "group_by": groups}
    return {"type": "data_table", **source, "metrics": measures, "rows": groups}


def _layer(panel: Panel) -> Body:
    groups = [_terms(terms) for terms in panel.terms]
    time = {"operation": "date_histogram", "field": TIME}
    layer = {
        "type": _XY[panel.chart],
        "data_source": _source(panel.view),
        "x": time if panel.over_time else groups[0],
        "y": [_measure(measure) for measure in panel.measures],
    }
    if panel.over_time and groups:
        layer["breakdown_by"] = groups[0]
    return layer


def _source(view: DataView) -> Body:
    return {"type": "data_view_spec", "index_pattern": view.pattern, "time_field": TIME}


def _measure(measure: Measure) -> Body:
    body: Body = {"operation": measure.operation, "label": measure.label}
    if measure.field is not None:
        body["field"] = measure.field
    if measure.percentile is not None:
        body["percentile"] = measure.percentile
    if measure.kql:
        body["filter"] = {"expression": measure.kql}
    return body


def _terms(terms: Terms) -> Body:
    return {
        "operation": "terms",
        "fields": [terms.field],
        "label": terms.label,
        "limit": terms.size,
    }


def _query(kql: str) -> Body:
    return {"query": {"expression": kql}} if kql else {}


def _control(control: Control) -> Body:
    return {
        "type": "options_list_control",
        "id": control.field.replace(".", "-"),
        "config": {
            "data_view_id": control.view.id,
            "field_name": control.field,
            "title": control.label,
        },
    }
