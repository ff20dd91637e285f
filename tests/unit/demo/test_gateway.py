"""The last act: who is judged is refused, and a person's word counts at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from streams.demo.gateway import REQUESTS, Gateway, last_act
from streams.demo.view import last_act_lines
from streams.respond.times import iso
from streams.verdicts.table import VerdictTable

IMAGES = np.zeros((REQUESTS, 8, 8), np.float32)


def judged(table: VerdictTable, client: str, action: str) -> None:
    now = datetime.now(UTC)
    entry = {
        "action": action,
        "shadow": False,
        "since": iso(now - timedelta(minutes=1)),
        "until": iso(now + timedelta(hours=1)),
        "reason": "evasion",
    }
    table.take(f"u1_{client}".encode(), msgspec.json.encode(entry))


def gateway(table: VerdictTable) -> tuple[Gateway, list[str]]:
    passed: list[str] = []

    async def ask(client, images):
        passed.append(client)
        return np.zeros((len(images), 10), np.float32)

    return Gateway(table, lambda name: f"u1_{name}", ask), passed


async def test_only_who_is_not_judged_passes() -> None:
    table = VerdictTable()
    for action in ("watch", "throttle", "challenge", "block"):
        judged(table, action, action)
    door, passed = gateway(table)
    for client in ("nobody", "watch", "throttle", "throttle", "challenge", "block"):
        await door.request(client, IMAGES[:1])
    assert passed == ["nobody", "watch", "throttle"]


async def test_attackers_are_held_back_and_an_ordinary_client_is_let_in_again() -> None:
    table = VerdictTable()
    judged(table, "mallory", "challenge")
    judged(table, "flood", "throttle")
    door, passed = gateway(table)
    commands: list[tuple[str, ...]] = []

    async def say(*arguments: str) -> None:
        commands.append(arguments)
        if arguments[0] == "judge":
            judged(table, arguments[1], arguments[2])
        else:
            table.take(f"u1_{arguments[1]}".encode(), None)

    attackers = [("Mallory", "mallory"), ("Flood", "flood")]
    act = await last_act(door, attackers, "anna", IMAGES, say)
    assert act.closed
    assert [row.refused for row in act.attackers] == [REQUESTS, REQUESTS - 1]
    assert [command[:2] for command in commands] == [("judge", "anna"), ("lift", "anna")]
    assert passed == ["flood", "anna"]
    assert "Mallory: 20 of 20 requests refused (challenge)" in last_act_lines(act)[0]


async def test_an_attacker_without_a_verdict_leaves_the_loop_open() -> None:
    table = VerdictTable()
    door, _ = gateway(table)

    async def say(*arguments: str) -> None:
        judged(table, arguments[1], "block" if arguments[0] == "judge" else "watch")

    act = await last_act(door, [("Mallory", "mallory")], "anna", IMAGES, say, patience_s=0.1)
    assert not act.closed
    assert act.attackers[0].refused == 0
