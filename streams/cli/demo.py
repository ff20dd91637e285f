"""``vedette demo``: ordinary traffic and live attackers on this machine, and who was caught."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


def demo(
    *,
    seconds: Annotated[
        float, Parameter(help="length of the play", validator=Number(gte=20))
    ] = 60.0,
    json: Annotated[Path | None, Parameter(help="write all figures there")] = None,
    seed: Annotated[int, Parameter(help="of traffic, model and attacks")] = 0,
    home: Annotated[
        Path, Parameter(help="directory of the demo; emptied if an earlier demo made it")
    ] = Path(".vedette/demo"),
    keep: Annotated[bool, Parameter(help="leave Kafka running", negative="")] = False,
) -> None:
    """Start Kafka and all roles, then serve ordinary clients and live attackers.

    In the end a gateway obeys the verdicts and the attackers attack again. The exit code is 0 only
    if every attacker was alerted before it succeeded, none succeeded again, no ordinary client was
    alarmed, and one that is blocked by hand was let in by one command.

    **Examples:**

    - `vedette demo`: about a hundred seconds.

    - `vedette demo --seconds 120 --seed 7 --json demo.json`: longer, with other clients,
      another model, and the figures in a file.
    """
    import msgspec
    from rich.console import Console

    from streams.demo.show import show
    from streams.demo.view import last_act_table, result_table, summary
    from streams.logs import configure_logs

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    configure_logs("warning")
    console = Console(highlight=False)
    report = show(home=home, seconds=seconds, seed=seed, keep=keep, console=console)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    console.print(result_table(report.outcome))
    console.print(last_act_table(report.last_act))
    console.print(
        f"{report.requests:,} requests, {report.answered:,} answered, "
        f"{report.audited:,} in the audit trail {report.home}/audit.sqlite; look at it with",
        soft_wrap=True,
    )
    console.print(f"  VEDETTE_HOME={home} vedette audit search --kind alert", soft_wrap=True)
    if keep:
        console.print(f"Kafka keeps running at {report.bootstrap_servers}")
    console.print(summary(report.outcome, report.last_act), soft_wrap=True)
    sys.exit(0 if report.outcome.passed and report.last_act.closed else 1)
