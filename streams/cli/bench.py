"""``vedette bench``: what it costs, how fast it is, how well it detects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from benchmarks.pipeline.plan import Plan

app = cyclopts.App(name="bench", help="Measure speed and detection quality on this machine.")


@app.command
def pipeline(
    *,
    json: Annotated[Path | None, Parameter(help="file for the result")] = None,
    events: Annotated[int | None, Parameter(help="events of each measurement")] = None,
    quick: Annotated[bool, Parameter(help="small and rough, in under a minute")] = False,
) -> None:
    """Measure the pipeline with a real broker: CPU of each role, rate, alert latency, memory.

    Starts a broker and roles of its own and removes them afterwards. Takes some minutes; other
    work on the machine makes the figures worse. The exit code is 0 whenever it was measured,
    also if a wanted figure was missed: the table and the file say so.

    **Examples:**

    - `vedette bench pipeline --json pipeline.json`: the full measurement.

    - `vedette bench pipeline --quick`: to see that it works.
    """
    import asyncio
    from dataclasses import replace

    import msgspec
    from rich.console import Console

    from benchmarks.pipeline.plan import FULL, QUICK
    from benchmarks.pipeline.report import table

    plan = QUICK if quick else FULL
    if events is not None:
        plan = replace(plan, events=events)
    result = asyncio.run(_measure(plan))
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    Console().print(table(result))


async def _measure(plan: Plan) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks.pipeline.run import STAGE_NAMES, run_pipeline
    from config.settings import load_settings

    columns = (TextColumn("{task.description:<22}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        stages = {
            name: bar.add_task(name, total=1.0, start=False, visible=False) for name in STAGE_NAMES
        }

        def tell(stage: str, share: float) -> None:
            task = stages[stage]
            if not bar.tasks[task].started:
                bar.start_task(task)
            bar.update(task, completed=share, visible=True)

        return await run_pipeline(load_settings().home / "bench", plan, tell)
