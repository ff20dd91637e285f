"""``vedette alerts``: what was raised."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="alerts", help="Look at alerts.")


@app.command(name="list")
def list_alerts(
    *,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 20,
    json: Annotated[bool, Parameter(help="ECS documents, one a line")] = False,
) -> None:
    """List alerts, newest first."""
    import msgspec
    from rich.console import Console

    from streams.cli.view import add_row, audit_reader, print_lines, show_time, table
    from streams.store.search import Query

    with audit_reader() as reader:
        found = reader.search(Query(kind="alert", limit=limit))
    if json:
        print_lines(found)
        return
    shown = table(f"{len(found)} alerts", "time (UTC)", "severity", "kind", "what", "id")
    for item in found:
        body = msgspec.json.decode(item.body)
        own = body["vedette"]
        add_row(
            shown, show_time(item.ts), own["severity"], own["kind"], body["message"], item.event_id
        )
    Console().print(shown)


@app.command
def show(identity: Annotated[str, Parameter(help="id of the alert")]) -> None:
    """Print one alert as its ECS document."""
    from streams.cli.view import audit_reader, print_document

    with audit_reader() as reader:
        found = reader.get(identity)
        print_document(found if found and found.kind == "alert" else None, identity)
