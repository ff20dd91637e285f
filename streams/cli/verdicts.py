"""``vedette verdicts``: what gateways are told of clients, and a person's word against it."""

from __future__ import annotations

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="verdicts", help="Look at verdicts, lift them, serve them to gateways.")

_Author = Annotated[str | None, Parameter(help="who; by default your user name")]
_Client = Annotated[str, Parameter(help="pseudonym, or with --name the name the gateway uses")]
_Name = Annotated[bool, Parameter(help="CLIENT is a name, not a pseudonym", negative="")]


@app.command(name="list")
def list_verdicts(
    *,
    every: Annotated[bool, Parameter(help="also those that have ended", negative="")] = False,
    limit: Annotated[int, Parameter(help="at most so many")] = 50,
) -> None:
    """List the verdicts that hold, the strongest first.

    **Examples:**

    - `vedette verdicts list`: what gateways obey now.
    """
    from datetime import UTC, datetime

    import msgspec
    from rich.console import Console

    from streams.cli.topic_view import read_topic
    from streams.cli.view import add_row, table
    from streams.respond.actions import STRENGTH
    from streams.respond.times import iso
    from streams.respond.verdicts import Verdict
    from streams.topics import VERDICTS

    held: dict[bytes, Verdict] = {}

    def take(key: bytes | None, value: bytes | None) -> None:
        held.pop(key or b"", None)
        if key is not None and value is not None:
            try:
                held[key] = msgspec.json.decode(value, type=Verdict)
            except msgspec.DecodeError:
                return

    read_topic(VERDICTS, take)
    now = iso(datetime.now(UTC))
    found = [verdict for verdict in held.values() if every or verdict.until > now]
    found.sort(key=lambda verdict: -STRENGTH[verdict.action])
    shown = table(f"{len(found)} verdicts", "client", "action", "mode", "until", "why", "by")
    for verdict in found[:limit]:
        mode = "shadow" if verdict.shadow else "live"
        until = verdict.until[:19]
        add_row(shown, verdict.client, verdict.action, mode, until, verdict.reason, verdict.by)
    Console().print(shown)


@app.command
def lift(
    client: _Client,
    *,
    reason: Annotated[str, Parameter(help="why; it is kept")],
    length: Annotated[str, Parameter(help="30m, 2h, 7d", name="--for")] = "24h",
    name: _Name = False,
    author: _Author = None,
) -> None:
    """Let a client in, whatever is found, for a time.

    **Examples:**

    - `vedette verdicts lift u1_a227lep5g3k7kkxk7lum2z7phq --reason "our own load test"`: for a
      day; gateways know it within a second.
    """
    from streams.cli.feedback import say, until

    ends = until(length)
    for target in _targets(client, name=name):
        said = say("lift", target, author=author, reason=reason, until=ends)
        _print(f"{target} is let in until {said.until}")


@app.command
def judge(
    client: _Client,
    action: Literal["watch", "throttle", "challenge", "block"],
    *,
    reason: Annotated[str, Parameter(help="why; it is kept")],
    length: Annotated[str, Parameter(help="30m, 2h, 7d", name="--for")] = "24h",
    name: _Name = False,
    author: _Author = None,
) -> None:
    """Judge a client by hand: at once, and never in shadow.

    **Examples:**

    - `vedette verdicts judge customer-42 throttle --name --for 2h --reason "asked for it"`: by
      the name that the gateway knows.
    """
    from streams.cli.feedback import say, until

    ends = until(length)
    for target in _targets(client, name=name):
        said = say("judge", target, author=author, reason=reason, until=ends, action=action)
        _print(f"{target}: {action} until {said.until}")


@app.command
def reset(client: _Client, *, name: _Name = False, author: _Author = None) -> None:
    """Take a person's word, or a verdict, back: findings decide again.

    **Examples:**

    - `vedette verdicts reset customer-42 --name`: a block by hand is taken back.
    """
    from streams.cli.feedback import say

    for target in _targets(client, name=name):
        say("unlift", target, author=author)
        _print(f"{target} has no verdict")


@app.command
def serve() -> None:
    """Answer gateways over REST on loopback, and drive the adapters that are set.

    **Examples:**

    - `vedette verdicts serve` and `curl 127.0.0.1:9480/v1/verdicts?client=customer-42`: what to
      do with a client now.
    """
    import asyncio

    from config.settings import load_settings
    from streams.logs import configure_logs
    from streams.verdicts.server import serve as run

    settings = load_settings()
    configure_logs(settings.log_level, role="verdicts")
    asyncio.run(run(settings))


def _targets(client: str, *, name: bool) -> tuple[str, ...]:
    """Return whom a command means: somebody by name under every key."""
    from config.settings import load_settings
    from streams.identity import load_epochs

    return load_epochs(load_settings()).of("client", client) if name else (client,)


def _print(text: str) -> None:
    from rich.console import Console

    Console(highlight=False, markup=False, soft_wrap=True).print(text)
