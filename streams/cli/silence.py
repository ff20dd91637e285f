"""``vedette silence``: mute alerts for a time, with a name and a reason."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="silence", help="Mute alerts for a time.")


@app.command
def add(
    *,
    reason: Annotated[str, Parameter(help="why; the next on call will read it")],
    length: Annotated[str, Parameter(help="30m, 2h, 7d", name="--for")] = "2h",
    rule: Annotated[str | None, Parameter(help="only this rule")] = None,
    model: Annotated[str | None, Parameter(help="only this model")] = None,
    client: Annotated[str | None, Parameter(help="only this client's pseudonym")] = None,
    tenant: Annotated[str | None, Parameter(help="only this tenant")] = None,
    author: Annotated[str | None, Parameter(help="who; by default your user name")] = None,
) -> None:
    """Mute the alerts that match everything that is given; findings are still counted.

    **Examples:**

    - `vedette silence add --rule burst --model digits --for 4h --reason "load test"`: no burst
      alerts on one model during a load test.
    """
    import secrets

    from rich.console import Console

    from config.errors import ConfigError
    from streams.cli.feedback import say, until

    if not (rule or model or client or tenant):
        raise ConfigError("a silence needs --rule, --model, --client or --tenant")
    ends = until(length)
    identity = f"silence-{secrets.token_hex(4)}"
    said = say(
        "silence",
        identity,
        author=author,
        reason=reason,
        until=ends,
        rule=rule,
        model=model,
        client=client,
        tenant=tenant,
    )
    Console().print(f"{said.target} holds until {said.until}", soft_wrap=True)


@app.command
def end(
    identity: Annotated[str, Parameter(help="id of the silence")],
    *,
    author: Annotated[str | None, Parameter(help="who; by default your user name")] = None,
) -> None:
    """End a silence early.

    **Examples:**

    - `vedette silence end silence-1a2b3c4d`: alerts are told again.
    """
    from streams.cli.feedback import say

    say("unsilence", identity, author=author)


@app.command(name="list")
def list_silences(
    *, every: Annotated[bool, Parameter(help="also those that have ended", negative="")] = False
) -> None:
    """List the silences that hold.

    **Examples:**

    - `vedette silence list`: what holds now, by whom and why.
    """
    from datetime import UTC, datetime

    from rich.console import Console

    from config.errors import PoisonRecord
    from streams.cli.topic_view import read_topic
    from streams.cli.view import add_row, table
    from streams.respond.feedback import Feedback, decode_feedback
    from streams.respond.times import iso
    from streams.topics import FEEDBACK

    held: dict[str, Feedback] = {}

    def take(_: bytes | None, value: bytes | None) -> None:
        try:
            said = decode_feedback(value)
        except PoisonRecord:
            return
        if said.verb == "silence":
            held[said.target] = said
        elif said.verb == "unsilence" and not every:
            held.pop(said.target, None)

    read_topic(FEEDBACK, take)
    now = iso(datetime.now(UTC))
    shown = [said for said in held.values() if every or (said.until or "") > now]
    rows = table(f"{len(shown)} silences", "id", "until", "what", "by", "why")
    for said in shown:
        what = [said.rule, said.model, said.client, said.tenant]
        named = " ".join(item for item in what if item)
        add_row(rows, said.target, said.until, named, said.author, said.reason)
    Console().print(rows)
