"""What people see of the demo: a live view on a terminal, plain lines elsewhere, a last table."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from streams.demo.cast import Attacker
    from streams.demo.gateway import LastAct
    from streams.demo.judge import AttackerOutcome, Outcome, SeenAlert
    from streams.demo.play import Play

REFRESH_S = 0.25
#: Without a terminal, a line on how things go is printed so often.
LINE_EVERY_S = 5.0
SHOWN_ALERTS = 8
AT_ONCE_S = 0.1


async def watch(play: Play, console: Console) -> None:
    """Show the play until cancelled."""
    if console.is_terminal:
        await _watch_live(play, console)
    else:
        await _watch_lines(play, console)


async def _watch_live(play: Play, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(screen(play), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _watch_lines(play: Play, console: Console) -> None:
    told, next_line_s = 0, 0.0
    while True:
        for alert in play.alerts[told:]:
            console.print(_passed(play), Text("ALERT"), _alert_text(play, alert), soft_wrap=True)
            told += 1
        line = status(play)  # each time: the rate is measured from one look to the next
        if time.monotonic() >= next_line_s:
            console.print(_passed(play), line, soft_wrap=True)
            next_line_s = time.monotonic() + LINE_EVERY_S
        await asyncio.sleep(REFRESH_S)


def status(play: Play) -> Text:
    """Return the figures of the moment in one line."""
    lag = ", ".join(f"{role} {behind}" for role, behind in play.lag.items())
    waiting = play.model.sent - play.model.answered
    return Text(
        f"{play.rate_per_s():.0f} requests/s, {play.model.sent:,} sent, {waiting} unanswered, "
        f"{len(play.asked)} ordinary clients, {len(play.alerts)} alerts"
        + (f", lag: {lag}" if lag else "")
    )


def screen(play: Play) -> RenderableType:
    """Return the whole live view."""
    attackers = Table(title="attackers", title_justify="left")
    for column in ("attacker", "queries", "succeeded", "alerted"):
        attackers.add_column(column)
    for attacker in play.attackers:
        attackers.add_row(*_attacker_cells(play, attacker))
    alerts = Table(title="alerts", title_justify="left")
    for column in ("at", "who", "kind", "detector", "events", "delay"):
        alerts.add_column(column)
    for alert in play.alerts[-SHOWN_ALERTS:]:
        alerts.add_row(
            f"{alert.at_s - play.began_s:.1f} s",
            _who(play, alert),
            alert.kind,
            alert.detector,
            str(alert.events),
            f"{alert.delay_s:.1f} s",
        )
    return Group(Text.assemble(_passed(play), " ", status(play)), attackers, alerts)


def result_table(outcome: Outcome) -> Table:
    """Return what became of each attacker."""
    table = Table(title="who was caught", title_justify="left")
    for column in ("attacker", "queries", "alert after", "as", "success after", "verdict"):
        table.add_column(column, overflow="fold")
    for row in outcome.attackers:
        table.add_row(
            row.name,
            f"{row.queries:,}",
            _alert_after(row),
            ", ".join(row.kinds) or "-",
            _success_after(row),
            _verdict(row),
        )
    return table


def last_act_table(act: LastAct) -> Table:
    """Return what the gateway did to who came back."""
    table = Table(title="once a gateway obeyed the verdicts", title_justify="left")
    for column in ("who", "verdict", "requests", "refused", "outcome"):
        table.add_column(column, overflow="fold")
    for row in act.attackers:
        outcome = "succeeded again" if row.succeeded else "no success"
        table.add_row(row.name, row.action, f"{row.asked:,}", f"{row.refused:,}", outcome)
    hand = act.by_hand
    outcome = (
        f"refused {_after(hand.refused_after_s)}; after `vedette verdicts lift` let in "
        f"{_after(hand.allowed_after_s)}"
    )
    table.add_row(f"{hand.client}, ordinary", "block, by hand", "", "", outcome)
    return table


def _after(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return "at once" if seconds < AT_ONCE_S else f"after {seconds:.1f} s"


def summary(outcome: Outcome, act: LastAct) -> str:
    """Return the last line: passed or not, who was wronged, and whether verdicts hold."""
    wronged = (
        "no ordinary client was alarmed"
        if not outcome.false_alarms
        else f"alarmed without reason: {', '.join(outcome.false_alarms)}"
    )
    caught = sum(row.stopped_in_time for row in outcome.attackers)
    held = "none succeeded" if act.closed else "verdicts did not hold"
    return (
        f"{'PASSED' if outcome.passed and act.closed else 'FAILED'}: {caught} of "
        f"{len(outcome.attackers)} attackers alerted before they succeeded, {held} once a gateway "
        f"obeyed; {wronged} ({outcome.benign_clients} asked)."
    )


def _attacker_cells(play: Play, attacker: Attacker) -> tuple[str, ...]:
    target = attacker.target
    success = f"after {target.success.queries} queries" if target.success else "not yet"
    who = play.pseudonym(attacker.client)
    first = next((alert for alert in play.alerts if who in alert.clients), None)
    alerted = "-"
    if first and target.started_s is not None:
        alerted = f"after {first.at_s - target.started_s:.1f} s ({first.kind})"
    return attacker.name, f"{target.queries:,}", success, alerted


def _alert_text(play: Play, alert: SeenAlert) -> Text:
    return Text(
        f"{alert.kind} by {_who(play, alert)} ({alert.detector}, after {alert.events} events, "
        f"{alert.delay_s:.1f} s ago)"
    )


def _who(play: Play, alert: SeenAlert) -> str:
    """Name the attacker behind a pseudonym: the demo knows whom it planted."""
    planted = {play.pseudonym(attacker.client): attacker.name for attacker in play.attackers}
    if not alert.clients:
        return alert.subject_type
    return ", ".join(planted.get(client, client) for client in alert.clients)


def _passed(play: Play) -> Text:
    return Text(f"{time.monotonic() - play.began_s:5.1f} s")


def _alert_after(row: AttackerOutcome) -> str:
    if not row.alerted:
        return "never"
    return f"{row.queries_at_alert} queries, {row.seconds_at_alert:.1f} s"


def _success_after(row: AttackerOutcome) -> str:
    if row.success_queries is None or row.success_s is None:
        return "never"
    return f"{row.success_queries} queries, {row.success_s:.1f} s"


def _verdict(row: AttackerOutcome) -> str:
    if row.problem:
        return row.problem
    if row.stopped_in_time:
        return "caught in time"
    return "caught too late" if row.alerted else "missed"
