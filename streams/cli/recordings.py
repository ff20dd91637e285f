"""``vedette record`` and ``vedette replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def record(
    *,
    out: Annotated[Path, Parameter(help="where to write; *.parquet or *.arrow")],
    seconds: Annotated[float | None, Parameter(help="stop after this time")] = None,
    events: Annotated[int | None, Parameter(help="stop after this many interactions")] = None,
    follow: Annotated[
        bool, Parameter(help="wait for new traffic instead of stopping at the end of the topic")
    ] = False,
) -> None:
    """Record interactions from Kafka, for calibration, replay or analysis.

    **Examples:**

    - `vedette record --out benign.parquet`: all that the topic holds now.

    - `vedette record --out hour.parquet --follow --seconds 3600`: the next hour.
    """
    import asyncio

    from rich.console import Console

    from config.settings import load_settings
    from streams.recorder import record_interactions

    written = asyncio.run(
        record_interactions(
            load_settings(),
            out,
            seconds=seconds,
            events=events,
            follow=follow or seconds is not None,
        )
    )
    Console().print(f"{written:,} interactions in {out}")


def replay(
    file: Annotated[Path, Parameter(help="a recording: *.parquet or *.arrow")],
    *,
    profile: Annotated[Path, Parameter(help="directory that `vedette calibrate --out` wrote")],
    findings: Annotated[Path, Parameter(help="where findings go, JSON, one a line")],
    speed: Annotated[Literal["max", "real"], Parameter(help="pace")] = "max",
    run_length: Annotated[
        int | None, Parameter(help="wanted benign events between false alarms of one client")
    ] = None,
    key: Annotated[
        Path | None,
        Parameter(
            help="public key that must have signed the profiles "
            "(default: VEDETTE_DETECT__PROFILE_KEY, else signing.pub beside them)"
        ),
    ] = None,
    batch_rows: Annotated[
        int, Parameter(help="how the stream is cut; changes nothing but speed")
    ] = 8192,
) -> None:
    """Run the detectors over a recording; no broker needed.

    **Examples:**

    - `vedette replay day.parquet --profile profiles --findings findings.jsonl`
    """
    from rich.console import Console
    from rich.progress import Progress

    from config.errors import ConfigError
    from config.settings import load_settings
    from models.profiles import load_profiles
    from streams.engine import Engine, EngineOptions
    from streams.recording import count_rows
    from streams.replay import replay as run_replay
    from streams.replay import write_findings

    settings = load_settings()
    console = Console(stderr=True)
    profiles = load_profiles(profile, key or settings.detect.profile_key, settings.detect.device)
    if not profiles:
        raise ConfigError(f"there is no profile in {profile}; make one with `vedette calibrate`")
    engine = Engine(
        profiles,
        EngineOptions(
            run_length_events=run_length or settings.detect.run_length_events,
            max_clients=settings.detect.max_clients,
            lateness_s=settings.detect.lateness_s,
        ),
    )
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("replaying", total=count_rows(file))
        found, summary = run_replay(
            file,
            engine,
            batch_rows=batch_rows,
            speed=speed,
            progress=lambda rows: bar.advance(task, rows),
        )
    write_findings(findings, found)
    _print_summary(summary)


def _print_summary(summary: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from streams.replay import ReplaySummary

    assert isinstance(summary, ReplaySummary)  # noqa: S101 - narrows a lazily imported type
    table = Table(title="replay", show_header=False)
    table.add_row("interactions", f"{summary.events:,}")
    table.add_row("of these scanned", f"{summary.scanned:,}")
    table.add_row("dropped as seen before", f"{summary.replayed:,}")
    table.add_row("clients", f"{summary.clients:,}")
    for name, count in sorted(summary.findings.items()):
        table.add_row(f"findings: {name}", f"{count:,}")
    if not summary.findings:
        table.add_row("findings", "none")
    table.add_row("detection", f"{summary.us_per_event:.1f} µs/event")
    table.add_row("state", f"{summary.bytes_per_client:,.0f} bytes/client")
    Console().print(table)
