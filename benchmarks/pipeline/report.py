"""What was measured beside what was wanted; a figure that was missed is shown, not hidden."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from streams.broker.jars import KAFKA_VERSION

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Wanted:
    """A figure and its bound; ``path`` leads to it in the result."""

    title: str
    path: str
    sense: Literal["<=", ">="]
    bound: float
    unit: str

    def met(self, measured: float) -> bool:
        """Say whether the figure is within its bound."""
        return measured <= self.bound if self.sense == "<=" else measured >= self.bound


WANTED: tuple[Wanted, ...] = (
    Wanted("ingest against a bare consumer", "ratios.ingest_to_bare", "<=", 4.0, "x"),
    Wanted("detect", "detect_us", "<=", 30.0, "µs/event"),
    Wanted("stock Faust against ingest + detect", "ratios.stock_to_ours", ">=", 8.0, "x"),
    Wanted("the whole, broker included", "whole_events_per_s", ">=", 10_000.0, "events/s"),
    Wanted("alert latency, median", "alert_latency_s.p50", "<=", 0.5, "s"),
    Wanted("alert latency, 99th percentile", "alert_latency_s.p99", "<=", 2.0, "s"),
    Wanted("state per client", "state_bytes_per_client", "<=", 8192.0, "bytes"),
    Wanted("growth of memory after warm-up", "rss_growth_mb", "<=", 16.0, "MiB"),
)
_OTHERS = (
    ("bare consumer", "bare_us", "µs/event"),
    ("ingest", "ingest_us", "µs/event"),
    ("index", "index_us", "µs/event"),
    ("stock Faust with River", "stock_us", "µs/event"),
)


def figure(result: dict[str, Any], path: str) -> float:
    """Return the figure at ``path`` (names joined by dots)."""
    value: Any = result
    for name in path.split("."):
        value = value[name]
    return float(value)


def judged(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every wanted figure with what was measured."""
    return [
        {
            "what": wanted.title,
            "measured": round(figure(result, wanted.path), 3),
            "wanted": f"{wanted.sense} {wanted.bound:g} {wanted.unit}",
            "met": wanted.met(figure(result, wanted.path)),
        }
        for wanted in WANTED
    ]


def table(result: dict[str, Any]) -> Table:
    """Return the result for a terminal."""
    from rich.table import Table  # noqa: PLC0415 - only for people

    made = Table(title=f"Pipeline, {result['events']:,} events", caption=_caption(result))
    for heading, justify in (("", "left"), ("measured", "right"), ("wanted", "right")):
        made.add_column(heading, justify=justify)  # type: ignore[arg-type]  # literals above
    for title, path, unit in _OTHERS:
        made.add_row(title, f"{figure(result, path):,.1f} {unit}", "")
    for wanted in WANTED:
        measured = figure(result, wanted.path)
        colour = "green" if wanted.met(measured) else "bold red"
        shown = f"[{colour}]{measured:,.2f} {wanted.unit}[/{colour}]"
        made.add_row(wanted.title, shown, f"{wanted.sense} {wanted.bound:,g}")
    return made


def _caption(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"µs are CPU of all threads of the process. stock: {result['stock_events']:,} events."
    )


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "torch": version("torch"),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
