"""``python -m benchmarks.evaluate``: measure the detectors and write docs/detection-report.md."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from benchmarks.quality import traffic
from benchmarks.quality.asking import asking
from benchmarks.quality.floods import floods
from benchmarks.quality.report import write
from benchmarks.quality.run import FULL, QUICK, bursts, evaluate
from benchmarks.quality.victims import digits_victim, mnist_victim
from benchmarks.quality.watch import RUN_LENGTH_EVENTS
from models.device import one_thread

DOCS = Path(__file__).parents[1] / "docs"


def measure(
    *,
    out: Annotated[Path, Parameter(help="directory of the page and its pictures")] = DOCS,
    quick: Annotated[bool, Parameter(help="few clients of one model, in a minute")] = False,
    seed: Annotated[int, Parameter(help="which clients and attacks")] = 0,
) -> None:
    """Measure delays and false alarms of the detectors, and write the report.

    Examples
    --------
    ``python -m benchmarks.evaluate``
        All of it, into docs/.
    ``python -m benchmarks.evaluate --quick --out /tmp/report``
        A glance.
    """
    console = Console(stderr=True)
    began_s = time.monotonic()

    def tell(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began_s:6.0f} s[/dim]  {what}")

    size = QUICK if quick else FULL
    with one_thread():
        victims = [digits_victim(seed), None if quick else mnist_victim(seed)]
        results = [evaluate(v, size, seed, tell) for v in victims if v is not None]
        with_traffic = traffic.available() and not quick
        asked = asking(seed, 300 if quick else 3000, RUN_LENGTH_EVENTS)
        burst = bursts(seed, tell) if with_traffic else None
        flood = floods(seed, 120, RUN_LENGTH_EVENTS, tell) if with_traffic else []
    console.print(f"wrote {write(out, results, burst, asked, flood, seed)}")


def main() -> None:
    """Run the command."""
    cyclopts.App(help=measure.__doc__, default_command=measure, result_action="return_value")(
        sys.argv[1:]
    )


if __name__ == "__main__":
    main()
