"""``vedette audit``: search the audit trail, and prove that nothing in it was changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from streams.store.search import Query

app = cyclopts.App(name="audit", help="Search the audit trail, and check it.")


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which documents; what is left out does not restrict."""

    client: Annotated[str | None, Parameter(help="the client's name or pseudonym")] = None
    model: Annotated[str | None, Parameter(help="name of the model")] = None
    tenant: Annotated[str | None, Parameter(help="the tenant's name or pseudonym")] = None
    rule: Annotated[str | None, Parameter(help="alerts of this detector")] = None
    alert: Annotated[str | None, Parameter(help="interactions that this alert names")] = None
    text: Annotated[str | None, Parameter(help="words of the message")] = None
    since: Annotated[str | None, Parameter(help="a time, or a length such as 15m, 2h, 7d")] = None
    until: Annotated[str | None, Parameter(help="the same; this moment is excluded")] = None
    kind: Annotated[Literal["event", "alert", "dlq"] | None, Parameter(help="only these")] = None

    def query(self, limit: int = 0) -> Query:
        """Return what the stores understand."""
        from streams.cli.view import interactions_of, names_of, parse_time
        from streams.store.search import Query

        now = datetime.now(UTC)
        values = asdict(self)
        for kind in ("client", "tenant"):
            values[kind] = names_of(kind, values[kind])[0]
        since_us = parse_time(values.pop("since"), now)
        until_us = parse_time(values.pop("until"), now)
        alert = values.pop("alert")
        ids = None if alert is None else interactions_of(alert)
        return Query(**values, ids=ids, since_us=since_us, until_us=until_us, limit=limit)


_ALL = Filters()


@app.command
def search(
    *,
    filters: Annotated[Filters, Parameter(name="*")] = _ALL,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 50,
    content: Annotated[str | None, Parameter(help="words of what was said, where kept")] = None,
    reason: Annotated[str, Parameter(help="why content has to be read")] = "",
    json: Annotated[bool, Parameter(help="ECS documents, one a line")] = False,
) -> None:
    """Find documents, newest first, in the store that VEDETTE_INDEX__STORE names.

    **Examples:**

    - `vedette audit search --client u1_abc --since 1h`: what one client did in the last hour.

    - `vedette audit search --model digits --kind alert --json`: alerts on a model, as ECS
      documents.

    - `vedette audit search --tenant acme --content "wire transfer" --reason "ticket 4711"`: calls
      whose kept prompt or completion has these words; the search is audited.
    """
    from rich.console import Console

    from streams.cli.view import add_row, audit_reader, print_lines, show_time, table

    if content is None:
        with audit_reader() as reader:
            found = reader.search(filters.query(limit))
    else:
        from streams.cli.audit_content import search_content

        found = search_content(filters.query(), content, reason, limit)
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
def export(
    out: Annotated[Path, Parameter(help="file; its ending, .jsonl or .parquet, is the format")],
    *,
    filters: Annotated[Filters, Parameter(name="*")] = _ALL,
) -> None:
    """Write all documents that match to a file, oldest first.

    **Examples:**

    - `vedette audit export november.parquet --since 2026-11-01 --until 2026-12-01`: a month for
      DuckDB, Polars or an auditor.
    """
    import sys

    from streams.cli.view import audit_reader
    from streams.store.export import export as write

    with audit_reader() as reader:
        count = write(reader.stream(filters.query()), out)
    sys.stdout.write(f"{count:,} documents in {out}\n")


@app.command
def show(
    identity: Annotated[str, Parameter(help="id of an interaction or alert")],
    *,
    content: Annotated[bool, Parameter(help="what was said, where the tenant lets it be kept")] = (
        False
    ),
    reason: Annotated[str, Parameter(help="why it has to be read; goes into the trail")] = "",
) -> None:
    """Print one document, or the content that was kept of it.

    Reading content takes its keys, which lie where `detect` runs, and is itself audited before
    anything is read.

    **Examples:**

    - `vedette audit show vedette.events.v1-2-41-0 --content --reason "ticket 4711"`: prompt and
      completion, masked as they were kept.
    """
    from streams.cli.view import audit_reader, print_document

    if content:
        from streams.cli.audit_content import print_content

        print_content(identity, reason)
        return
    with audit_reader() as reader:
        print_document(reader.get(identity), identity)


@app.command
def windows(
    *,
    model: Annotated[str | None, Parameter(help="name of the model")] = None,
    tenant: Annotated[str | None, Parameter(help="name of the tenant")] = None,
    since: Annotated[str | None, Parameter(help="a time, or a length such as 15m, 2h, 7d")] = None,
    until: Annotated[str | None, Parameter(help="the same; this moment is excluded")] = None,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 50,
    json: Annotated[bool, Parameter(help="ECS documents, one a line")] = False,
) -> None:
    """Show calls, clients, errors and latencies added up by minute, model and tenant.

    A window has a line for each log that saw calls of it: their sum is the whole.

    **Examples:**

    - `vedette audit windows --model digits --since 1h`: the last hour of a model.
    """
    from streams.cli.audit_windows import print_windows

    filters = Filters(model=model, tenant=tenant, since=since, until=until)
    print_windows(filters.query(limit), as_json=json)


@app.command
def stats(*, json: Annotated[bool, Parameter(help="one JSON object")] = False) -> None:
    """Count what the embedded database holds.

    **Examples:**

    - `vedette audit stats`: documents by kind, and how large the file is.
    """
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
    kafka: Annotated[
        bool, Parameter(help="also against records and checkpoints that Kafka still holds")
    ] = False,
    source: Annotated[
        Literal["store", "kafka"],
        Parameter(help="kafka: what it still holds, without a store"),
    ] = "store",
    key: Annotated[Path | None, Parameter(help="public key of the checkpoints (.pub)")] = None,
    json: Annotated[bool, Parameter(help="one JSON object")] = False,
) -> None:
    """Check that no record was altered, removed, inserted or moved.

    The exit code is 1 if anything was. Without --checkpoints a trail that was put back as a whole
    to an older state cannot be told from a younger one: keep checkpoints elsewhere.

    **Examples:**

    - `vedette audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl --key audit.pub`: the
      whole trail, against checkpoints and a key that the trail's writer cannot change.

    - `vedette audit verify --source kafka --key audit.pub`: the topics against the checkpoints that
      were published, wherever the trail lies.

    - `vedette audit verify --record vedette.events.v1-2-41-0`: one record, without reading the
      others.
    """
    from streams.cli.audit_check import check_record, check_trail, verifier_at

    verifier = verifier_at(key)
    if source == "kafka":
        from streams.cli.audit_kafka import check_topics

        check_topics(verifier, as_json=json)
    elif record is not None:
        check_record(record, verifier)
    else:
        check_trail(verifier, checkpoints, kafka=kafka, as_json=json)


@app.command
def prove(
    record: Annotated[str, Parameter(help="id of an interaction or alert")],
    *,
    out: Annotated[Path | None, Parameter(help="directory for the record and its proof")] = None,
) -> None:
    """Write a record and the proof that it is in the signed log, to hand to an auditor.

    **Examples:**

    - `vedette audit prove vedette.events.v1-2-41-0 --out evidence`: writes record.json and
      proof.json.

    - `vedette audit check evidence --key audit.pub`: what the auditor runs: it needs neither
      the trail nor Kafka.
    """
    from streams.cli.audit_check import write_proof

    write_proof(record, out or Path())


@app.command
def check(
    evidence: Annotated[Path, Parameter(help="directory that `prove` wrote")],
    *,
    key: Annotated[Path | None, Parameter(help="public key of the checkpoints (.pub)")] = None,
) -> None:
    """Check a record against its proof, without the trail.

    **Examples:**

    - `vedette audit check evidence --key audit.pub`: it needs neither the trail nor Kafka.
    """
    from streams.cli.audit_check import check_evidence, verifier_at

    check_evidence(evidence, verifier_at(key))


@app.command
def consistency(
    checkpoints: Annotated[Path, Parameter(help="file of checkpoints that were kept elsewhere")],
    *,
    key: Annotated[Path | None, Parameter(help="public key of the checkpoints (.pub)")] = None,
) -> None:
    """Prove that each log continues what was signed earlier, without reading all of it.

    **Examples:**

    - `vedette audit consistency kept.jsonl --key audit.pub`: one line a checkpoint; the exit
      code is 1 if one is not the beginning of its log.
    """
    from streams.cli.audit_check import check_kept, verifier_at

    check_kept(checkpoints, verifier_at(key))


@app.command
def checkpoint() -> None:
    """Print the newest checkpoint of every log, one a line: keep them elsewhere.

    **Examples:**

    - `vedette audit checkpoint > kept.jsonl`: `vedette audit consistency` reads it later.
    """
    import sys

    import msgspec

    from streams.cli.view import audit_trail

    with audit_trail() as trail:
        for origin in trail.origins():
            for segment in trail.segments(origin)[-1:]:
                sys.stdout.write(msgspec.json.encode(segment).decode() + "\n")


@app.command
def erase(
    *,
    client: Annotated[
        str | None, Parameter(help="content of this client, by name or pseudonym")
    ] = None,
    tenant: Annotated[
        str | None, Parameter(help="content of this tenant, by name or pseudonym")
    ] = None,
    before: Annotated[str | None, Parameter(help="content from before a time")] = None,
    yes: Annotated[bool, Parameter(help="do not ask, erase")] = False,
) -> None:
    """Erase content for good; the logs stay verifiable.

    The keys of kept content are destroyed, which shreds every copy of it. In the embedded store
    documents lose their bodies too: ids and hashes stay, and a record of the erasure is chained.
    Stop the index role first there: only one program writes the database.

    **Examples:**

    - `vedette audit erase --client u1_abc --yes`: a person asked to be forgotten.
    """
    from config.errors import ConfigError
    from streams.cli.audit_content import erase_content
    from streams.cli.view import names_of, parse_time
    from streams.store.erasure import Erasure

    before_us = parse_time(before, datetime.now(UTC))
    if client is None and tenant is None and before_us is None:
        raise ConfigError("say what to erase: --client, --tenant or --before")
    if not yes:
        raise ConfigError("erasing cannot be undone; say --yes")
    erase_content(
        [
            Erasure("request", client=who, tenant=whose, before_us=before_us)
            for who in names_of("client", client)
            for whose in names_of("tenant", tenant)
        ]
    )
