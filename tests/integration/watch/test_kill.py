"""Kill -9 at random moments changes nothing: no loss, no doubles, the same findings."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from streams.broker.ports import free_port
from tests.integration.watch.stage import (
    ROLES,
    Watch,
    calibrated,
    receiving,
    until,
)
from tests.integration.watch.traffic import Model, post

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 12_000
ROUNDS = 20


class Outcome:
    """What a run left behind."""

    def __init__(self, audited: list[str], findings: set[str], delivered: list[str]) -> None:
        self.audited = audited
        self.findings = findings
        self.delivered = delivered


async def run(home: Path, profiles: Path, model: Model, began: datetime, kills: int) -> Outcome:
    async with receiving() as (port, delivered):
        watch = Watch(home, free_port(), profiles, port)
        try:
            load = asyncio.create_task(
                post(
                    watch.settings.kafka.bootstrap_servers,
                    model,
                    EVENTS,
                    began,
                    partitions=watch.settings.partitions,
                    over_s=2.0 * kills + 5,
                )
            )
            await kill_at_random(watch, kills)
            await load
            await until(
                lambda: len(watch.audited()) >= EVENTS,
                within_s=120,
                what="all interactions audited",
            )
            findings = await watch.findings()
            await until(
                lambda: len(set(delivered)) >= len(findings),
                within_s=90,
                what="a webhook for every finding",
            )
            return Outcome(watch.audited(), set(findings), delivered)
        finally:
            assert await asyncio.to_thread(watch.close) == 0


async def kill_at_random(watch: Watch, kills: int) -> None:
    rng = random.Random(11)
    for number in range(kills):
        await asyncio.sleep(rng.uniform(0.5, 3.0))
        role = ROLES[number % len(ROLES)]
        for _ in range(40):
            if watch.kill(role):
                break
            await asyncio.sleep(0.25)
        else:
            pytest.fail(f"{role} did not come back after it was killed")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def profiles(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("profiles")
    return calibrated(model, directory)


async def test_killing_every_role_twenty_times_loses_nothing_and_doubles_nothing(
    tmp_path, broker, profiles, model
):
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    calm = await run(tmp_path / "calm", profiles, model, began, kills=0)
    rough = await run(tmp_path / "rough", profiles, model, began, kills=ROUNDS)

    assert len(rough.audited) == len(set(rough.audited)) == EVENTS
    assert set(rough.audited) == set(calm.audited)
    assert calm.findings, "the traffic holds attackers, so there must be findings"
    assert rough.findings == calm.findings
    assert len(set(rough.delivered)) == len(set(calm.delivered)) == len(calm.findings)
    assert set(rough.delivered) == set(calm.delivered)
