"""The saved objects hold together, and speak only of fields that our own templates have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.elastic.templates import load_resources
from streams.kibana.api import dashboard_bodies
from streams.kibana.dashboards import DASHBOARDS, SEARCHES, VIEWS
from streams.kibana.export import files
from streams.kibana.objects import TYPE_VERSIONS, saved_objects
from streams.kibana.rule import detection_rule

ROOT = Path(__file__).parents[3]
OBJECTS = saved_objects()
#: Newer objects would be refused by an older Kibana.
CEILING = {"index-pattern": "8.0.0", "search": "8.0.0", "dashboard": "8.9.0"}

NUMBERS = {"long", "integer", "float", "double", "scaled_float"}
WORDS = {"keyword", "constant_keyword", "ip", "boolean", *NUMBERS}
ACCEPTED = {
    "date_histogram": {"date"},
    "terms": WORDS,
    "unique_count": WORDS,
    "average": NUMBERS,
    "sum": NUMBERS,
    "max": {*NUMBERS, "date"},
    "min": {*NUMBERS, "date"},
    "median": NUMBERS,
    "percentile": NUMBERS,
}


def fields(properties=None, path=""):
    """Return path and type of every field of our mappings."""
    if properties is None:
        found = {}
        for item in load_resources(1):
            if item.kind == "component":
                found.update(
                    fields(item.body["template"].get("mappings", {}).get("properties", {}))
                )
        return found
    found = {}
    for name, body in properties.items():
        full = f"{path}{name}"
        if "type" in body:
            found[full] = body["type"]
        found.update(fields(body.get("properties", {}), f"{full}."))
    return found


FIELDS = fields()
PATTERNS = [
    pattern
    for item in load_resources(1)
    if item.kind == "index"
    for pattern in item.body["index_patterns"]
]


def of_type(kind):
    return [item for item in OBJECTS if item["type"] == kind]


def panels(dashboard):
    return json.loads(dashboard["attributes"]["panelsJSON"])


def lenses():
    return [
        (dashboard["id"], panel, panel["embeddableConfig"]["attributes"])
        for dashboard in of_type("dashboard")
        for panel in panels(dashboard)
    ]


def kql_fields(kql):
    return [part.partition(":")[0].strip() for part in kql.split(" and ") if part]


@pytest.mark.parametrize("name", files())
def test_the_files_are_what_the_specification_gives(name):
    assert (ROOT / "config" / "kibana" / name).read_bytes() == files()[name]


def test_every_line_of_the_file_is_an_object_of_the_right_form():
    lines = files()["vedette.ndjson"].splitlines()
    assert [json.loads(line) for line in lines] == OBJECTS
    for item in OBJECTS:
        assert {"type", "id", "attributes", "references"} <= item.keys()
        assert item["coreMigrationVersion"] == "8.8.0"
        assert item["typeMigrationVersion"] == TYPE_VERSIONS[item["type"]] == CEILING[item["type"]]


def test_ids_are_unique_and_ours():
    ids = [(item["type"], item["id"]) for item in OBJECTS]
    assert len(ids) == len(set(ids))
    assert all(identity.startswith("vedette-") for _, identity in ids)


def test_references_lead_to_objects_of_the_file():
    known = {(item["type"], item["id"]) for item in OBJECTS}
    for item in OBJECTS:
        names = [reference["name"] for reference in item["references"]]
        assert len(names) == len(set(names))
        for reference in item["references"]:
            assert (reference["type"], reference["id"]) in known


def test_the_names_that_texts_refer_to_are_among_the_references():
    for item in (*of_type("dashboard"), *of_type("search")):
        names = {reference["name"] for reference in item["references"]}
        source = json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        wanted = [entry["meta"]["indexRefName"] for entry in source["filter"]]
        if "indexRefName" in source:
            wanted.append(source["indexRefName"])
        assert wanted
        assert set(wanted) <= names


@pytest.mark.parametrize("dashboard", of_type("dashboard"), ids=lambda item: item["id"])
def test_panels_lie_on_the_grid_without_overlap(dashboard):
    taken = set()
    for panel in panels(dashboard):
        grid = panel["gridData"]
        assert grid["i"] == panel["panelIndex"]
        assert grid["x"] >= 0
        assert grid["x"] + grid["w"] <= 48
        assert grid["h"] > 0
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not taken & cells
        taken |= cells
    indexes = [panel["panelIndex"] for panel in panels(dashboard)]
    assert len(indexes) == len(set(indexes))


def test_panels_are_lens_by_value_with_a_reference_for_each_layer():
    for dashboard in of_type("dashboard"):
        names = {reference["name"] for reference in dashboard["references"]}
        for panel in panels(dashboard):
            assert panel["type"] == "lens"
            assert "panelRefName" not in panel
            attributes = panel["embeddableConfig"]["attributes"]
            for layer in attributes["state"]["datasourceStates"]["formBased"]["layers"]:
                name = f"indexpattern-datasource-layer-{layer}"
                assert name in {item["name"] for item in attributes["references"]}
                assert f"{panel['panelIndex']}:{name}" in names


def accessors(visualization):
    """Return every column that a visualisation draws."""
    found = []
    for layer in visualization.get("layers", [visualization]):
        for name in ("xAccessor", "splitAccessor", "metricAccessor"):
            found += [layer[name]] if name in layer else []
        for name in ("accessors", "primaryGroups", "metrics"):
            found += layer.get(name, [])
        found += [column["columnId"] for column in layer.get("columns", [])]
    return found


def test_what_is_drawn_are_the_columns_of_the_layer():
    for identity, panel, attributes in lenses():
        state = attributes["state"]
        (layer,) = state["datasourceStates"]["formBased"]["layers"].values()
        assert sorted(layer["columns"]) == sorted(layer["columnOrder"])
        drawn = accessors(state["visualization"])
        assert sorted(drawn) == sorted(layer["columns"]), (identity, panel["title"])
        buckets = [layer["columns"][name]["isBucketed"] for name in layer["columnOrder"]]
        assert buckets == sorted(buckets, reverse=True)


def test_operations_fit_the_types_of_our_fields():
    for identity, panel, attributes in lenses():
        (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
        for name, column in layer["columns"].items():
            where = (identity, panel["title"], name, column["sourceField"])
            if column["sourceField"] == "___records___":
                assert column["operationType"] == "count", where
                continue
            assert FIELDS.get(column["sourceField"]) in ACCEPTED[column["operationType"]], where
            order = column["params"].get("orderBy", {}).get("columnId")
            assert order is None or order in layer["columns"], where


def test_filters_name_fields_of_ours():
    queries = [attributes["state"]["query"]["query"] for _, _, attributes in lenses()]
    for _, _, attributes in lenses():
        (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
        queries += [
            column["filter"]["query"] for column in layer["columns"].values() if "filter" in column
        ]
    queries += [search.kql for search in SEARCHES]
    queries.append(detection_rule()["query"])
    for query in queries:
        for field in kql_fields(query):
            assert field in FIELDS, query


def test_controls_offer_fields_of_ours():
    for dashboard in DASHBOARDS:
        for control in dashboard.controls:
            assert FIELDS[control.field] in WORDS


def test_saved_searches_show_fields_of_ours():
    for search in SEARCHES:
        assert set(search.columns) <= FIELDS.keys()


def test_data_views_match_our_templates():
    for view in VIEWS:
        assert view.pattern in PATTERNS
    for item in of_type("index-pattern"):
        assert item["attributes"]["timeFieldName"] == "@timestamp"
        assert item["attributes"]["allowNoIndex"] is True


def test_dashboards_keep_to_our_datasets():
    for dashboard in of_type("dashboard"):
        source = json.loads(dashboard["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        (entry,) = source["filter"]
        assert entry["meta"]["key"] == "data_stream.dataset"
        assert all(value.startswith("vedette.") for value in entry["meta"]["params"])


def test_the_rule_takes_name_severity_and_risk_from_the_alert():
    rule = detection_rule()
    assert set(rule["index"]) <= set(PATTERNS)
    for name in ("rule_name_override", "timestamp_override"):
        assert rule[name] in FIELDS
    scores = {"low": 21, "medium": 47, "high": 73, "critical": 99}
    assert rule["risk_score"] == scores[rule["severity"]]
    for entry in rule["severity_mapping"]:
        assert int(entry["value"]) <= scores[entry["severity"]]
    assert rule["threat"] == []


BODIES = dashboard_bodies()
CHARTS = {
    "xy": {"layers"},
    "metric": {"data_source", "metrics"},
    "pie": {"data_source", "metrics", "group_by"},
    "data_table": {"data_source", "metrics", "rows"},
}


def charts():
    return [(name, panel) for name, body in BODIES.items() for panel in body["panels"]]


def columns(config):
    """Return every operation of a chart."""
    for layer in config.get("layers", [config]):
        for name in ("x", "breakdown_by"):
            if name in layer:
                yield layer[name]
        for name in ("y", "metrics", "group_by", "rows"):
            yield from layer.get(name, [])


def test_bodies_have_the_ids_panels_and_places_of_the_saved_objects():
    for item in of_type("dashboard"):
        body = BODIES[item["id"]]
        assert body["title"] == item["attributes"]["title"]
        places = [
            {**panel["grid"], "i": panel["id"], "title": panel["config"]["title"]}
            for panel in body["panels"]
        ]
        assert places == [{**panel["gridData"], "title": panel["title"]} for panel in panels(item)]


def test_charts_of_the_api_have_their_parts_and_nothing_else():
    for name, panel in charts():
        config = panel["config"]
        assert panel["type"] == "vis", name
        assert config.keys() - {"title", "type", "query"} == CHARTS[config["type"]]
        for source in [part["data_source"] for part in config.get("layers", [config])]:
            assert source["type"] == "data_view_spec"
            assert source["index_pattern"] in PATTERNS
            assert FIELDS[source["time_field"]] == "date"


def test_operations_of_the_api_fit_the_types_of_our_fields():
    for name, panel in charts():
        found = list(columns(panel["config"]))
        assert found
        for column in found:
            where = (name, panel["id"], column)
            fields_of = column.get("fields", [column["field"]] if "field" in column else [])
            assert bool(fields_of) == (column["operation"] != "count"), where
            for field in fields_of:
                assert FIELDS.get(field) in ACCEPTED[column["operation"]], where
            assert ("percentile" in column) == (column["operation"] == "percentile"), where
            for field in kql_fields(column.get("filter", {}).get("expression", "")):
                assert field in FIELDS, where


def test_choices_of_the_api_offer_fields_of_data_views_that_are_imported():
    views = {view.id for view in VIEWS}
    for body in BODIES.values():
        ids = [control["id"] for control in body["pinned_panels"]]
        assert len(ids) == len(set(ids))
        for control in body["pinned_panels"]:
            assert control["config"]["data_view_id"] in views
            assert FIELDS[control["config"]["field_name"]] in WORDS
