"""What analysts say on the feedback topic ranks later alerts, whatever is killed in between."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
import pytest

from detectors.finding import Subject
from streams.respond.alerts import Alert
from streams.respond.feedback import Feedback
from streams.topics import FEEDBACK, FINDINGS
from tests.integration.killing import produce, role_process
from tests.integration.test_respond import environment, receiving
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

FALSE_ONES = 14


def found(run, number):
    """Return what is found of another client, on another day than the one before."""
    return finding(
        id=f"{run}-{number}",
        model=f"m-{run}",
        subject=Subject(type="client", ids=(f"u1_{run}_{number}",)),
        time=f"2026-10-{number + 1:02d}T00:00:00Z",
    )


def wrong(alert):
    return Feedback(
        id=alert.id,
        verb="false_positive",
        target=alert.incident,
        author="ann",
        time="2026-11-22T10:01:00Z",
        client=alert.subject.ids[0],
    )


async def test_what_analysts_keep_calling_false_is_told_lower_after_a_kill(broker, tmp_path):
    run = uuid.uuid4().hex
    first = [found(run, number) for number in range(FALSE_ONES)]
    async with receiving() as receiver:
        env = environment(broker, tmp_path, receiver.port)

        def told(state):
            bodies = [body for kept in receiver.events.values() for body in kept[:1]]
            alerts = [msgspec.json.decode(body, type=Alert) for body in bodies]
            return [a for a in alerts if a.model == f"m-{run}" and a.state == state]

        with role_process("respond", env) as role:
            await produce(broker, FINDINGS, map(msgspec.json.encode, first))
            await role.until(lambda: len(told("opened")) == FALSE_ONES)
            assert {alert.severity for alert in told("opened")} == {"high"}
            words = [msgspec.json.encode(wrong(alert)) for alert in told("opened")]
            saying = asyncio.create_task(produce(broker, FEEDBACK, words, pause_s=0.8))
            await role.kill_again_and_again(times=1, seed=2, alive_s=(3.0, 5.0))
            await saying
            await role.until(lambda: len(told("resolved")) == FALSE_ONES)
            await produce(broker, FINDINGS, [msgspec.json.encode(found(run, FALSE_ONES))])
            await role.until(lambda: len(told("opened")) == FALSE_ONES + 1)
    last = max(told("opened"), key=lambda alert: alert.time)
    assert (last.severity, last.ranking.lowered_from) == ("medium", "high")
    assert (last.ranking.votes, last.ranking.false) == (FALSE_ONES, FALSE_ONES)
    assert "Analysts called 14 of the 14 alerts most like it false" in last.summary
