"""The last act: who is judged is refused, and a person's word counts at once."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from streams.demo.attacks.target import Target
from streams.demo.cast import Attacker
from streams.demo.gateway import Gateway, RefusedError, last_act
from streams.demo.view import last_act_table
from streams.respond.times import iso
from streams.verdicts.table import VerdictTable

IMAGE = np.zeros((1, 8, 8), np.float32)


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
        with contextlib.suppress(RefusedError):
            await door.request(client, IMAGE)
    assert passed == ["nobody", "watch", "throttle"]


def cast(*clients: str):
    """Return attackers that have succeeded once five of their requests were answered."""

    def make(way) -> list[Attacker]:
        def attacker(client: str) -> Attacker:
            target = Target(way(client))

            async def run(_: float) -> None:
                for _ in range(5):
                    await target.query(IMAGE)
                target.succeed("five answers")

            return Attacker(client, "five answers", client, 0.0, target, run)

        return [attacker(client) for client in clients]

    return make


async def test_attackers_do_not_succeed_again_and_an_ordinary_client_is_let_in_again() -> None:
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

    act = await last_act(door, cast("mallory", "flood"), "anna", IMAGE, say, seconds=0.5)
    assert act.closed
    mallory, flood = act.attackers
    assert mallory.asked == mallory.refused >= 3
    assert flood.asked == flood.refused + 1
    assert not mallory.succeeded
    assert not flood.succeeded
    assert [command[:2] for command in commands] == [("judge", "anna"), ("lift", "anna")]
    assert passed == ["flood", "anna"]
    assert last_act_table(act).row_count == 3


async def test_an_attacker_without_a_verdict_leaves_the_loop_open() -> None:
    table = VerdictTable()
    door, _ = gateway(table)

    async def say(*arguments: str) -> None:
        judged(table, arguments[1], "block" if arguments[0] == "judge" else "watch")

    act = await last_act(door, cast("mallory"), "anna", IMAGE, say, seconds=0.5, patience_s=0.1)
    assert not act.closed
    assert (act.attackers[0].refused, act.attackers[0].succeeded) == (0, True)
