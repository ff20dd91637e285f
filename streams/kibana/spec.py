"""What a dashboard is made of, apart from how Kibana writes it down.

The dashboards are in `streams.kibana.dashboards`. From them come the saved objects, the
searches that the tests run, and the pictures in the documentation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Operation = Literal["count", "unique_count", "average", "sum", "max", "min", "median", "percentile"]
Chart = Literal["line", "area_stacked", "bar_stacked", "bar_horizontal", "metric", "table", "donut"]

COLUMNS = 48
TIME = "@timestamp"


class DataView(NamedTuple):
    """A data view with a fixed id."""

    id: str
    pattern: str
    name: str
    dataset: str


class Measure(NamedTuple):
    """A number: an operation on a field, of the documents that a KQL filter lets through."""

    operation: Operation
    label: str
    field: str | None = None
    percentile: int | None = None
    kql: str = ""


class Terms(NamedTuple):
    """The most frequent values of a field."""

    field: str
    label: str
    size: int = 5


class Grid(NamedTuple):
    """Where a panel lies, in 48ths of the width and in rows of 20 pixels."""

    x: int
    y: int
    w: int
    h: int


class Panel(NamedTuple):
    """A chart: measures, over time or not, split by terms."""

    key: str
    title: str
    chart: Chart
    view: DataView
    grid: Grid
    measures: tuple[Measure, ...]
    terms: tuple[Terms, ...] = ()
    over_time: bool = False
    kql: str = ""


class Control(NamedTuple):
    """A choice above the panels."""

    field: str
    label: str
    view: DataView


class Dashboard(NamedTuple):
    """A page of panels."""

    key: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    controls: tuple[Control, ...] = ()
    since: str = "now-24h"

    @property
    def views(self) -> tuple[DataView, ...]:
        """The data views of its panels, each once."""
        return tuple(dict.fromkeys(panel.view for panel in self.panels))


class Search(NamedTuple):
    """A saved search."""

    key: str
    title: str
    view: DataView
    columns: tuple[str, ...]
    kql: str = ""
