"""Pictures of the dashboards' layout, with sample data, for those without a Kibana at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streams.kibana.dashboards import DASHBOARDS
from streams.kibana.spec import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streams.kibana.spec import Dashboard, Panel

_COLOURS = ("#54b399", "#6092c0", "#d36086", "#9170b8", "#ca8eae", "#d6bf57", "#b9a888", "#e7664c")
_POINTS = 48
_SAMPLES = {
    "vedette.model.name": ("digits", "assistant", "fraud"),
    "vedette.severity": ("critical", "high", "medium", "low"),
    "user.id": ("u1_k3v7", "u1_q9aa", "u1_m2xf", "u1_t8bd"),
    "related.user": ("u1_k3v7", "u1_q9aa", "u1_m2xf", "u1_t8bd"),
    "rule.name": ("Model extraction", "Request burst", "Evasion attempts"),
    "threat.technique.id": ("AML.T0024", "AML.T0043", "AML.T0029"),
    "vedette.detector.name": ("query.pincer", "query.ring", "traffic.burst"),
    "event.outcome": ("success", "failure", "unknown"),
    "http.response.status_code": ("200", "429", "503"),
    "vedette.kind": ("extraction", "evasion", "burst", "drift"),
    "vedette.label": ("0", "1", "2", "3"),
    "error.code": ("bad_json", "too_large", "bad_frame"),
    "vedette.dead_letter.topic": ("vedette.events.v1", "vedette.responses.v1"),
    "vedette.scanned": ("true", "false"),
    "vedette.chain.log": ("…/0/7c99", "…/1/a01b", "…/2/55e0"),
    "organization.id": ("acme", "globex"),
    "vedette.checkpoint.log": ("…/0/7c99", "…/1/a01b", "…/2/55e0"),
}
_VALUES = {
    "Highest risk": "99",
    "Confidence": "0.97",
    "Latency, p95 (ns)": "18.4 ms",
    "Weakest evidence (log e)": "11.2",
    "Withheld": "0",
}


def draw_all(directory: Path) -> list[Path]:
    """Draw every dashboard; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for dashboard in DASHBOARDS:
        path = directory / f"{dashboard.key}.png"
        draw(dashboard, path)
        paths.append(path)
    return paths


def draw(dashboard: Dashboard, path: Path) -> None:
    """Draw one dashboard; the numbers are made up, and the picture says so."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    rows = max(panel.grid.y + panel.grid.h for panel in dashboard.panels)
    figure = Figure(figsize=(12, rows * 0.23 + 0.6), facecolor="#f7f8fc")
    head = 0.6 / (rows * 0.23 + 0.6)
    figure.text(0.01, 1 - head * 0.35, dashboard.title, fontsize=13, weight="bold", va="center")
    figure.text(
        0.01, 1 - head * 0.75, _subtitle(dashboard), fontsize=8, color="#69707d", va="center"
    )
    for panel in dashboard.panels:
        x, y, w, h = panel.grid
        place = (
            x / COLUMNS + 0.03,
            (1 - head) * (1 - (y + h) / rows) + 0.025,
            w / COLUMNS - 0.045,
            (1 - head) * h / rows - 0.055,
        )
        axes = figure.add_axes(place)
        axes.set_facecolor("white")
        axes.set_title(panel.title, fontsize=8, loc="left", color="#343741")
        _draw_panel(axes, panel, np.random.default_rng(len(panel.title) + x * 31 + y))
    figure.savefig(path, dpi=80, metadata={"Software": None})


def _subtitle(dashboard: Dashboard) -> str:
    choices = ", ".join(control.label for control in dashboard.controls)
    chosen = f" Choices: {choices}." if choices else ""
    return f"{dashboard.description}{chosen} (layout with made-up numbers, not a screenshot)"


def _draw_panel(axes: Any, panel: Panel, rng: np.random.Generator) -> None:
    axes.tick_params(labelsize=6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if panel.chart == "metric":
        _draw_metric(axes, panel, rng)
    elif panel.chart == "table":
        _draw_table(axes, panel, rng)
    elif panel.chart == "donut":
        _draw_donut(axes, panel, rng)
    elif panel.over_time:
        _draw_series(axes, panel, rng)
    else:
        _draw_bars(axes, _names(panel), rng)


def _draw_metric(axes: Any, panel: Panel, rng: np.random.Generator) -> None:
    axes.axis("off")
    value = _VALUES.get(panel.title, f"{rng.integers(20, 9000):,}")
    axes.text(0.0, 0.4, value, fontsize=18, color="#343741", va="center")


def _draw_bars(axes: Any, names: list[str], rng: np.random.Generator) -> None:
    lengths = np.sort(rng.integers(4, 40, len(names)))
    places = np.arange(len(names))
    axes.barh(places, lengths, color=_COLOURS[1])
    axes.set_yticks([])
    for place, name in zip(places, names[::-1], strict=True):
        axes.text(0.2, place, name, fontsize=7, color="white", va="center")


def _draw_series(axes: Any, panel: Panel, rng: np.random.Generator) -> None:
    names = _names(panel)
    x = np.arange(_POINTS)
    series = [_walk(rng) for _ in names]
    if panel.chart == "line":
        for number, values in enumerate(series):
            axes.plot(x, values, color=_COLOURS[number % 8], linewidth=1, label=names[number])
    elif panel.chart == "area_stacked":
        axes.stackplot(x, series, colors=_COLOURS, labels=names)
    else:
        below = np.zeros(_POINTS)
        for number, values in enumerate(series):
            axes.bar(x, values, bottom=below, color=_COLOURS[number % 8], label=names[number])
            below += values
    axes.set_xticks([])
    axes.legend(fontsize=6, loc="upper right", frameon=False)


def _draw_donut(axes: Any, panel: Panel, rng: np.random.Generator) -> None:
    names = _names(panel)
    axes.pie(
        np.sort(rng.integers(5, 60, len(names)))[::-1],
        labels=names,
        colors=_COLOURS,
        wedgeprops={"width": 0.45},
        textprops={"fontsize": 6},
    )


def _draw_table(axes: Any, panel: Panel, rng: np.random.Generator) -> None:
    axes.axis("off")
    names = _names(panel)
    heads = [*(terms.label for terms in panel.terms), *(item.label for item in panel.measures)]
    cells = [
        [
            name,
            *("…" for _ in panel.terms[1:]),
            *(f"{rng.integers(1, 999):,}" for _ in panel.measures),
        ]
        for name in names
    ]
    height = min(1.0, 0.14 * (len(cells) + 1))
    table = axes.table(
        cellText=cells, colLabels=heads, cellLoc="left", bbox=(0.0, 1.0 - height, 1.0, height)
    )
    table.auto_set_font_size(False)  # noqa: FBT003 - matplotlib's
    table.set_fontsize(6)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.2)


def _names(panel: Panel) -> list[str]:
    """Return what the series of a panel are called."""
    if not panel.terms:
        return [measure.label for measure in panel.measures]
    field = panel.terms[0].field
    return list(_SAMPLES.get(field, ("a", "b", "c")))[: panel.terms[0].size]


def _walk(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.abs(np.cumsum(rng.normal(0, 1, _POINTS)) + rng.uniform(5, 15))
