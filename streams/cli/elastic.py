"""``vedette elastic``: set Elasticsearch up for the audit trail, and look after it."""

from __future__ import annotations

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="elastic", help="Set Elasticsearch up, and look after it.")


@app.command
def setup(
    *,
    dry_run: Annotated[bool, Parameter(help="say what would change, change nothing")] = False,
    diff: Annotated[bool, Parameter(help="show what changes line by line")] = False,
) -> None:
    """Put templates and the ingest pipeline; what is up to date stays as it is.

    VEDETTE_ELASTIC__RETENTION_DAYS says how long documents are kept. Indices that are there
    already take up new mappings with their next rollover.

    **Examples:**

    - `vedette elastic setup --dry-run --diff`: what would change on the server.
    """
    import sys

    from config.settings import load_settings
    from streams.elastic.client import open_client
    from streams.elastic.templates import apply, load_resources, plan

    settings = load_settings().elastic
    resources = load_resources(settings.retention_days)
    with open_client(settings) as client:
        changes = plan(client, resources)
        if not dry_run:
            apply(client, changes)
    for change in changes:
        sys.stdout.write(f"{change.action:7} {change.resource.kind:10} {change.resource.name}\n")
        if diff and change.diff:
            sys.stdout.write(change.diff + "\n")


@app.command
def doctor(
    *,
    role: Annotated[
        Literal["writer", "reader", "setup"], Parameter(help="what the API key is for")
    ] = "writer",
) -> None:
    """Look at connection, version, privileges, templates, documents and lag; exit code 1 if unwell.

    The lag is what Kafka holds and the index role has not stored yet.

    **Examples:**

    - `vedette elastic doctor`: what is wrong with the server, and what to do.
    """
    import asyncio

    from rich.console import Console

    from config.errors import VedetteError
    from config.settings import load_settings
    from streams.cli.view import add_row, table
    from streams.elastic.client import open_client
    from streams.elastic.doctor import examine, lag_check
    from streams.elastic.templates import load_resources
    from streams.ledger.kafka import waiting_records

    everything = load_settings()
    settings = everything.elastic
    resources = load_resources(settings.retention_days) if settings.retention_days else None
    with open_client(settings) as client:
        checks = examine(client, resources, role)
    waiting = asyncio.run(waiting_records(everything.kafka))
    checks.append(lag_check(waiting, everything.watch.lag_records))
    shown = table("Elasticsearch", "what", "", "found")
    for check in checks:
        mark = {True: "ok", False: "FAILED", None: "-"}[check.ok]
        add_row(shown, check.name, mark, check.text)
    Console().print(shown)
    failed = [check.name for check in checks if check.ok is False]
    if failed:
        raise VedetteError(f"unwell: {', '.join(failed)}")


@app.command
def roles() -> None:
    """Print the least that writer, reader and set-up need, as role descriptors for API keys.

    **Examples:**

    - `vedette elastic roles`: each value goes into ``role_descriptors`` of ``POST
      /_security/api_key``.
    """
    import sys

    import msgspec

    from streams.elastic.templates import load_roles

    text = msgspec.json.format(msgspec.json.encode(load_roles()), indent=2)
    sys.stdout.write(text.decode() + "\n")
