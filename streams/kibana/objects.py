"""The specification as saved objects: one NDJSON file for Kibana 8.9 and newer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.kibana.dashboards import DASHBOARDS, SEARCHES, VIEWS
from streams.kibana.lens import lens_attributes
from streams.kibana.spec import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.kibana.spec import Control, Dashboard, DataView, Panel, Search

#: Objects of a newer version than the target's are refused; these are old enough.
CORE_VERSION = "8.8.0"
TYPE_VERSIONS = {"index-pattern": "8.0.0", "search": "8.0.0", "dashboard": "8.9.0"}
_PANEL_VERSION = "8.9.0"
_META_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
_FILTER_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"

Object = dict[str, Any]


def saved_objects() -> list[Object]:
    """Return data views, searches and dashboards, in the order in which they need one another."""
    return [
        *(_data_view(view) for view in VIEWS),
        *(_search(search) for search in SEARCHES),
        *(_dashboard(dashboard) for dashboard in DASHBOARDS),
    ]


def ndjson(objects: Iterable[Object]) -> bytes:
    """Write objects one a line, always the same bytes."""
    encode = msgspec.json.Encoder(order="sorted").encode
    return b"".join(encode(item) + b"\n" for item in objects)


def dashboard_id(key: str) -> str:
    """Return the id of a dashboard: stable, so that an import replaces it."""
    return f"vedette-dashboard-{key}"


def _text(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _object(kind: str, identity: str, attributes: Object, references: list[Object]) -> Object:
    return {
        "type": kind,
        "id": identity,
        "attributes": attributes,
        "references": references,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
        "managed": False,
    }


def _data_view(view: DataView) -> Object:
    attributes = {
        "title": view.pattern,
        "name": view.name,
        "timeFieldName": TIME,
        "allowNoIndex": True,
        "sourceFilters": "[]",
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": _text(
            {
                "event.duration": {
                    "id": "duration",
                    "params": {
                        "inputFormat": "nanoseconds",
                        "outputFormat": "asMilliseconds",
                        "outputPrecision": 1,
                    },
                }
            }
        ),
        "runtimeFieldMap": "{}",
        "typeMeta": "{}",
    }
    return _object("index-pattern", view.id, attributes, [])


def _search(search: Search) -> Object:
    source = {
        "query": {"query": search.kql, "language": "kuery"},
        "filter": [],
        "highlightAll": True,
        "version": True,
        "indexRefName": _META_INDEX,
    }
    attributes = {
        "title": search.title,
        "description": "",
        "columns": list(search.columns),
        "sort": [[TIME, "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
    }
    reference = {"type": "index-pattern", "id": search.view.id, "name": _META_INDEX}
    return _object("search", f"vedette-search-{search.key}", attributes, [reference])


def _dashboard(dashboard: Dashboard) -> Object:
    panels, references = [], [_filter_reference(dashboard)]
    for panel in dashboard.panels:
        panels.append(_panel(panel))
        references += _panel_references(panel)
    attributes = {
        "title": dashboard.title,
        "description": dashboard.description,
        "panelsJSON": _text(panels),
        "optionsJSON": _text(
            {
                "useMargins": True,
                "syncColors": True,
                "syncCursor": True,
                "syncTooltips": False,
                "hidePanelTitles": False,
            }
        ),
        "timeRestore": True,
        "timeFrom": dashboard.since,
        "timeTo": "now",
        "version": 1,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(_source(dashboard))},
    }
    if dashboard.controls:
        attributes["controlGroupInput"] = _controls(dashboard.controls)
        references += [
            {
                "type": "index-pattern",
                "id": control.view.id,
                "name": f"controlGroup_control-{number}:optionsListDataView",
            }
            for number, control in enumerate(dashboard.controls)
        ]
    return _object("dashboard", dashboard_id(dashboard.key), attributes, references)


def _panel(panel: Panel) -> Object:
    grid = {**panel.grid._asdict(), "i": panel.key}
    common = {"version": _PANEL_VERSION, "gridData": grid, "panelIndex": panel.key}
    return {
        **common,
        "type": "lens",
        "title": panel.title,
        "embeddableConfig": {"attributes": lens_attributes(panel), "enhancements": {}},
    }


def _panel_references(panel: Panel) -> list[Object]:
    return [
        {**reference, "name": f"{panel.key}:{reference['name']}"}
        for reference in lens_attributes(panel)["references"]
    ]


def _filter_reference(dashboard: Dashboard) -> Object:
    return {"type": "index-pattern", "id": dashboard.views[0].id, "name": _FILTER_INDEX}


def _source(dashboard: Dashboard) -> Object:
    """Return query and filter: only documents of ours, also where the patterns meet others."""
    datasets = [view.dataset for view in dashboard.views]
    phrases = [{"match_phrase": {"data_stream.dataset": dataset}} for dataset in datasets]
    return {
        "query": {"query": "", "language": "kuery"},
        "filter": [
            {
                "$state": {"store": "appState"},
                "meta": {
                    "alias": None,
                    "disabled": False,
                    "negate": False,
                    "type": "phrases",
                    "key": "data_stream.dataset",
                    "params": datasets,
                    "indexRefName": _FILTER_INDEX,
                },
                "query": {"bool": {"minimum_should_match": 1, "should": phrases}},
            }
        ],
    }


def _controls(controls: tuple[Control, ...]) -> Object:
    panels = {
        f"control-{number}": {
            "type": "optionsListControl",
            "order": number,
            "grow": True,
            "width": "medium",
            "explicitInput": {
                "id": f"control-{number}",
                "fieldName": control.field,
                "title": control.label,
                "searchTechnique": "prefix",
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        for number, control in enumerate(controls)
    }
    ignore = {
        "ignoreFilters": False,
        "ignoreQuery": False,
        "ignoreTimerange": False,
        "ignoreValidations": False,
    }
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": _text(ignore),
        "panelsJSON": _text(panels),
    }
