"""``vedette alerts``: what was raised."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="alerts", help="Look at alerts.")


#: Enough of an id to find what it belongs to.
ID_CHARS = 12
#: So many of the newest alerts are searched for one whose id begins as is said.
SEARCHED = 10_000


@app.command(name="list")
def list_alerts(
    *,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 20,
    json: Annotated[bool, Parameter(help="ECS documents, one a line")] = False,
) -> None:
    """List alerts, newest first.

    **Examples:**

    - `vedette alerts list --limit 50`: the last fifty.

    - `vedette alerts list --json | jq .rule.id`: for a script.
    """
    import msgspec
    from rich.console import Console

    from streams.cli.view import add_row, audit_reader, print_lines, show_time, table
    from streams.store.search import Query

    with audit_reader() as reader:
        found = reader.search(Query(kind="alert", limit=limit))
    if json:
        print_lines(found)
        return
    shown = table(f"{len(found)} alerts", "time (UTC)", "severity", "what", "id")
    for item in found:
        body = msgspec.json.decode(item.body)
        severity, title = body["vedette"]["severity"], body["rule"]["name"]
        add_row(shown, show_time(item.ts)[:19], severity, title, item.event_id[:ID_CHARS])
    Console().print(shown)


@app.command
def show(identity: Annotated[str, Parameter(help="id of the alert")]) -> None:
    """Print one alert as its ECS document; the beginning of its id is enough.

    **Examples:**

    - `vedette alerts show 7db9a85e42cf`: all that is known of one.
    """
    from streams.cli.view import audit_reader, print_document
    from streams.store.search import Query

    with audit_reader() as reader:
        found = reader.get(identity)
        if found is None and identity:
            newest = reader.search(Query(kind="alert", limit=SEARCHED))
            found = next((item for item in newest if item.event_id.startswith(identity)), None)
        print_document(found if found and found.kind == "alert" else None, identity)


@app.command
def incidents(
    *, every: Annotated[bool, Parameter(help="also those that have ended", negative="")] = False
) -> None:
    """List incidents as their last alert tells them: the highest risk first, then the latest.

    **Examples:**

    - `vedette alerts incidents`: what is open now.
    """
    from rich.console import Console

    from streams.cli.analyst import read_incidents
    from streams.cli.view import add_row, table

    found = [item for item in read_incidents() if every or not item.ended]
    found.sort(key=lambda item: -item.last.risk_score)
    shown = table(
        f"{len(found)} incidents", "last", "severity", "risk", "what", "who", "state", "id"
    )
    for item in found:
        alert = item.last
        who = alert.subject.ids[0] if alert.subjects_total == 1 else f"{alert.subjects_total:,}"
        state = f"{item.status} by {item.author}" if item.author else alert.state
        last, risk, short = alert.time[:19], alert.risk_score, alert.incident[:ID_CHARS]
        add_row(shown, last, alert.severity, risk, alert.title, who, state, short)
    Console().print(shown)


@app.command
def explain(identity: Annotated[str, Parameter(help="id of the alert or incident")]) -> None:
    """Say why an incident was raised: what was unusual, how it went on, what to do.

    **Examples:**

    - `vedette alerts explain 7db9`: by the beginning of its id, or of its incident's.
    """
    from rich.console import Console

    from streams.cli.analyst import explanation_lines, find_incident

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in explanation_lines(find_incident(identity)):
        console.print(line)


_Author = Annotated[str | None, Parameter(help="who; by default your user name")]
_Reason = Annotated[str, Parameter(help="for those who read it later")]


@app.command
def ack(
    identity: Annotated[str, Parameter(help="id of the alert or incident")],
    *,
    reason: _Reason = "",
    author: _Author = None,
) -> None:
    """Say that you work on it: it no longer reminds, but tells when it gets worse.

    **Examples:**

    - `vedette alerts ack 7db9 --reason "asking the owner"`: with your user name.
    """
    from streams.cli.analyst import judge_incident

    judge_incident("ack", identity, reason=reason, author=author)


@app.command
def resolve(
    identity: Annotated[str, Parameter(help="id of the alert or incident")],
    *,
    reason: _Reason = "",
    author: _Author = None,
) -> None:
    """Close it; if it goes on it opens again, as one that happened before.

    **Examples:**

    - `vedette alerts resolve 7db9 --reason "key revoked"`: its end is told to the sinks.
    """
    from streams.cli.analyst import judge_incident

    judge_incident("resolve", identity, reason=reason, author=author)


@app.command(name="false-positive")
def false_positive(
    identity: Annotated[str, Parameter(help="id of the alert or incident")],
    *,
    reason: _Reason,
    author: _Author = None,
) -> None:
    """Close it as wrong, lift its verdict, and let detection learn of it.

    **Examples:**

    - `vedette alerts false-positive 7db9... --reason "load test of our own"`: it goes to the
      topic vedette.feedback.v1 with the finding, kind and detector.
    """
    from streams.cli.analyst import judge_incident

    judge_incident("false_positive", identity, reason=reason, author=author)
