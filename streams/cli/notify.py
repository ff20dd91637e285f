"""``vedette notify``: look at the sinks and try them."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

QUEUED_TIMEOUT_S = 30.0

app = cyclopts.App(name="notify", help="Look at the sinks and try them.")


@app.command(name="list")
def list_sinks() -> None:
    """List the sinks and what each takes; never an address or a secret.

    **Examples:**

    - `vedette notify list`: name, type and filters.
    """
    from rich.console import Console

    from config.settings import load_settings
    from streams.cli.view import add_row, table
    from streams.notify.sinks import sinks_of

    sinks = sinks_of(load_settings())
    shown = table(f"{len(sinks)} sinks", "name", "type", "from", "a minute", "only")
    for sink in sinks.values():
        only = [*sink.models, *sink.tenants, *sink.rules, *sink.techniques]
        kind = sink.model_dump()["type"]
        add_row(shown, sink.name, kind, sink.min_severity, sink.per_minute, ", ".join(only))
    Console().print(shown)


@app.command(name="test")
def send_test(
    name: Annotated[str, Parameter(help="of the sink")],
    *,
    queued: Annotated[
        bool, Parameter(help="all the way: through Kafka and the respond that runs", negative="")
    ] = False,
) -> None:
    """Send a test alert by the same code, to the same address, with the same secret.

    It is sent from here, past Kafka, routing and the limit; the exit code is 1 if the receiver did
    not take it, and the reason is one word, never the address. With `--queued` it is written to the
    alerts, and the respond that runs passes it on in its turn.

    **Examples:**

    - `vedette notify test oncall`: one attempt.

    - `vedette notify test oncall --queued`: the way that alerts go.
    """
    import asyncio

    from rich.console import Console

    from config.errors import ConfigError, VedetteError
    from config.settings import load_settings
    from streams.notify.base import Delivered
    from streams.notify.sinks import sinks_of
    from streams.notify.trial import attempt, queue

    settings = load_settings()
    sink = sinks_of(settings).get(name)
    if sink is None:
        raise ConfigError(f"there is no sink {name!r}; see `vedette notify list`")
    if queued:
        if not asyncio.run(queue(sink, settings.kafka, QUEUED_TIMEOUT_S)):
            raise VedetteError(
                f"respond has not passed it on within {QUEUED_TIMEOUT_S:.0f} s: is it running, and "
                f"is {name} disabled or slow? See `vedette health respond` and its log"
            )
        Console().print(f"respond has passed it on to {name}")
        return
    outcome = asyncio.run(attempt(sink, settings.kafka))
    if not isinstance(outcome, Delivered):
        raise VedetteError(f"{name} did not take it: {outcome.reason}")
    Console().print(f"{name} has it")
