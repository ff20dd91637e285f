"""``vedette audit``: search the audit trail, and prove that nothing in it was changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="audit", help="Search the audit trail, and check it.")


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


@app.command
def verify(
    *,
    record: Annotated[str | None, Parameter(help="id of one record, by inclusion proof")] = None,
    checkpoints: Annotated[
        tuple[Path, ...],
        Parameter(help="checkpoints that were kept elsewhere", consume_multiple=True),
    ] = (),
    key: Annotated[Path | None, Parameter(help="public key of the checkpoints (.pub)")] = None,
    json: Annotated[bool, Parameter(help="one JSON object")] = False,
) -> None:
    """Check that no record was altered, removed, inserted or moved.

    The exit code is 1 if anything was. Without --checkpoints a trail that was put back as a whole
    to an older state cannot be told from a younger one: keep checkpoints elsewhere.

    Examples
    --------
    ``vedette audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl --key audit.pub``
        The whole trail, against checkpoints and a key that the trail's writer cannot change.
    ``vedette audit verify --record vedette.events.v1-2-41-0``
        One record, without reading the others.
    """
    from streams.cli.audit_check import check_record, check_trail, verifier_at

    verifier = verifier_at(key)
    if record is not None:
        check_record(record, verifier)
    else:
        check_trail(verifier, checkpoints, as_json=json)


@app.command
def prove(
    record: Annotated[str, Parameter(help="id of an interaction or alert")],
    *,
    out: Annotated[Path | None, Parameter(help="directory for the record and its proof")] = None,
) -> None:
    """Write a record and the proof that it is in the signed log, to hand to an auditor.

    Examples
    --------
    ``vedette audit prove vedette.events.v1-2-41-0 --out evidence``
        Writes record.json and proof.json.
    ``vedette audit check evidence --key audit.pub``
        What the auditor runs: it needs neither the trail nor Kafka.
    """
    from streams.cli.audit_check import write_proof

    write_proof(record, out or Path())


@app.command
def check(
    evidence: Annotated[Path, Parameter(help="directory that `prove` wrote")],
    *,
    key: Annotated[Path | None, Parameter(help="public key of the checkpoints (.pub)")] = None,
) -> None:
    """Check a record against its proof, without the trail."""
    from streams.cli.audit_check import check_evidence, verifier_at

    check_evidence(evidence, verifier_at(key))


@app.command
def checkpoint() -> None:
    """Print the newest checkpoint of every log, one a line: keep them elsewhere."""
    import sys

    import msgspec

    from streams.cli.view import audit_database
    from streams.store.trail import SqliteTrail

    with audit_database() as connection:
        trail = SqliteTrail(connection)
        for origin in trail.origins():
            for segment in trail.segments(origin)[-1:]:
                sys.stdout.write(msgspec.json.encode(segment).decode() + "\n")
