"""``vedette audit``: the audit trail in the embedded store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="audit", help="Search the audit trail.")


@app.command
def search(
    *,
    client: Annotated[str | None, Parameter(help="pseudonym of the client")] = None,
    model: Annotated[str | None, Parameter(help="name of the model")] = None,
    since: Annotated[str | None, Parameter(help="a time, or a length such as 15m, 2h, 7d")] = None,
    until: Annotated[str | None, Parameter(help="the same; this moment is excluded")] = None,
    kind: Annotated[Literal["event", "alert"] | None, Parameter(help="only these")] = None,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 50,
    json: Annotated[bool, Parameter(help="ECS documents, one a line")] = False,
) -> None:
    """Find documents, newest first.

    Examples
    --------
    ``vedette audit search --client u1_abc --since 1h``
        What one client did in the last hour.
    ``vedette audit search --model digits --kind alert --json``
        Alerts on a model, as ECS documents.
    """
    from rich.console import Console

    from streams.cli.view import add_row, audit_database, parse_time, print_lines, show_time, table
    from streams.store.search import Query
    from streams.store.search import search as find

    now = datetime.now(UTC)
    query = Query(
        client=client,
        model=model,
        kind=kind,
        since_us=parse_time(since, now),
        until_us=parse_time(until, now),
        limit=limit,
    )
    with audit_database() as connection:
        found = find(connection, query)
    if json:
        print_lines(found)
        return
    shown = table(f"{len(found)} documents", "time (UTC)", "kind", "client", "model", "rule", "id")
    for item in found:
        add_row(
            shown,
            show_time(item.ts),
            item.kind,
            item.client,
            item.model,
            item.rule_id,
            item.event_id,
        )
    Console().print(shown)


@app.command
def show(identity: Annotated[str, Parameter(help="id of an interaction or alert")]) -> None:
    """Print one document."""
    from streams.cli.view import audit_database, print_document
    from streams.store.search import get

    with audit_database() as connection:
        print_document(get(connection, identity), identity)


@app.command
def stats(*, json: Annotated[bool, Parameter(help="one JSON object")] = False) -> None:
    """Count what the database holds."""
    import sys

    import msgspec
    from rich.console import Console

    from streams.cli.view import add_row, audit_database, show_time, table
    from streams.store.search import statistics

    with audit_database() as connection:
        found = statistics(connection)
    if json:
        sys.stdout.write(msgspec.json.encode(found._asdict()).decode() + "\n")
        return
    shown = table("Audit database", "what", "value")
    add_row(shown, "documents", f"{found.documents:,}")
    for label, counts in (
        ("kind", found.by_kind),
        ("model", found.by_model),
        ("rule", found.by_rule),
    ):
        for name, count in counts.items():
            add_row(shown, f"{label} {name or '-'}", f"{count:,}")
    add_row(shown, "first", show_time(found.first_us))
    add_row(shown, "last", show_time(found.last_us))
    add_row(shown, "size", f"{found.size_bytes / 1e6:,.1f} MB")
    add_row(shown, "schema version", found.schema_version)
    add_row(shown, "SQLite", found.sqlite_version)
    Console().print(shown)
