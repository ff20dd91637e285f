"""``vedette rules``: check, list, test and explain the rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from streams.rules.load import RuleSet

app = cyclopts.App(name="rules", help="Check, list, test and explain the rules.")

Directory = Annotated[
    Path | None,
    Parameter(help="rules of your own; by default VEDETTE_RESPOND__RULES_DIR", name="--dir"),
]


@app.command
def check(*, directory: Directory = None) -> None:
    """Parse, validate and test all rules, as respond does before it takes them.

    The exit code is 2 if anything is wrong; the line on stderr names file, line and remedy.

    **Examples:**

    - `vedette rules check --dir my-rules`: before they are copied to where respond looks.
    """
    from rich.console import Console

    found = _load(directory)
    tests = sum(len(rule.tests) for rule in found.rules)
    Console().print(f"{len(found.rules)} rules are right, {tests} tests pass ({found.digest})")


@app.command(name="list")
def list_rules(*, directory: Directory = None) -> None:
    """List the rules in the order in which they are asked.

    **Examples:**

    - `vedette rules list --dir my-rules`: yours and those they do not replace.
    """
    from rich.console import Console

    from streams.cli.view import add_row, table

    found = _load(directory)
    shown = table(f"{len(found.rules)} rules", "id", "version", "mode", "maturity", "kinds", "does")
    for rule in found.rules:
        kinds = ", ".join(rule.kinds)
        add_row(shown, rule.id, rule.version, rule.mode, rule.maturity, kinds, rule.response)
    Console().print(shown)


@app.command(name="test")
def run_tests(
    rule: Annotated[str | None, Parameter(help="only this one")] = None,
    *,
    directory: Directory = None,
) -> None:
    """Run the rules' own examples, one line each; the exit code is 1 if any fails.

    **Examples:**

    - `vedette rules test burst --dir my-rules`: those of one rule, while it is written.
    """
    from rich.console import Console

    from config.errors import ConfigError
    from streams.rules.load import try_examples

    tried = [one for one in try_examples(_directories(directory)) if rule in (None, one.rule)]
    if not tried:
        raise ConfigError(f"there is no rule {rule!r}; see `vedette rules list`")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in tried:
        if one.complaint:
            console.print(f"FAILED  {one.file}:{one.line}: {one.rule}: {one.complaint}")
        else:
            console.print(f"passed  {one.rule}: {one.example}")
    if any(one.complaint for one in tried):
        raise SystemExit(1)


@app.command
def explain(
    finding: Annotated[Path, Parameter(help="file with one finding as JSON; - is stdin")],
    *,
    directory: Directory = None,
) -> None:
    """Say which rule takes a finding, and what would become of it alone.

    **Examples:**

    - `vedette replay recording.parquet | head -1 | vedette rules explain -`: the first finding
      of a replay.
    """
    import sys

    from rich.console import Console

    from config.errors import ConfigError, PoisonRecord
    from config.settings import load_settings
    from streams.respond.policy import action_for
    from streams.respond.responder import decode_finding
    from streams.rules.match import bounded

    try:
        data = sys.stdin.buffer.read() if str(finding) == "-" else finding.read_bytes()
        item = decode_finding(data)
    except OSError as error:
        raise ConfigError(f"{finding} cannot be read ({type(error).__name__})") from None
    except PoisonRecord as error:
        raise ConfigError(f"this is no finding: {error}") from None
    taken = _load(directory).take(item)
    rule = taken.rule or taken.shadows[0]
    severity = bounded(rule, item.severity)
    mode = "in shadow" if load_settings().respond.verdict_shadow else "live"
    lines = [
        f"rule      {rule.id} version {rule.version} ({rule.maturity})",
        f"title     {rule.title}",
        f"severity  {severity} (the finding says {item.severity})",
        f"verdict   {action_for(item, rule.response) or 'none'}, {mode}",
        f"campaign  {rule.campaign.clients} clients within {rule.campaign.within_s:.0f} s",
        f"resolved  after {rule.window_s:.0f} s without findings",
        f"sinks     {', '.join(rule.routes) or 'those whose filters take it'}",
        f"inhibits  {', '.join(rule.inhibits) or 'nothing'}",
        f"shadow    {', '.join(other.id for other in taken.shadows) or 'no rule'}",
    ]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines:
        console.print(line)


@app.command
def docs(*, directory: Directory = None) -> None:
    """Print the page of runbooks, made from the rules.

    **Examples:**

    - `vedette rules docs --dir my-rules > runbooks.md`: with your own rules.
    """
    import sys

    from streams.rules.runbooks import runbooks

    sys.stdout.write(runbooks(_load(directory)))


def _directories(directory: Path | None) -> tuple[Path, ...]:
    from config.settings import load_settings
    from streams.rules.reload import directories_of

    return directories_of(directory or load_settings().respond.rules_dir)


def _load(directory: Path | None) -> RuleSet:
    from streams.rules.load import load_rules

    return load_rules(_directories(directory))
