"""The demo's gateway refuses whom a verdict forbids, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from config.settings import Settings
from streams.demo.gateway import THROTTLED_BURST, Gateway, GuardedModel, Refused
from tests.unit.demo.fakes import FakeModel
from tests.unit.verdicts.test_table import verdict

if TYPE_CHECKING:
    from pathlib import Path


def gateway(tmp_path: Path, action: str, *, shadow: bool = False) -> Gateway:
    made = Gateway(Settings(home=tmp_path, pseudonym_key="a key of thirty-two bytes or more"))
    pseudonym = made._pseudonym("client", "mallory")
    body = msgspec.json.encode(
        verdict(pseudonym, action=action, shadow=shadow, until="2126-01-01T00:00:00.000000Z")
    )
    made._judgement._table.take(pseudonym.encode(), body)
    made._follower.heard_s = float("inf")
    return made


@pytest.mark.parametrize("action", ["block", "challenge"])
async def test_a_refused_client_gets_no_answer_and_others_do(tmp_path: Path, action: str) -> None:
    open_model = FakeModel()
    model = GuardedModel(open_model, gateway(tmp_path, action))
    picture = np.zeros((8, 8), np.float32)
    with pytest.raises(Refused, match=action):
        await model.ask("mallory", picture[None])
    assert model.post("mallory", picture) == ""
    assert model.refused == 1
    assert open_model.asked_by == {}
    await model.ask("alice", picture[None])
    assert (model.sent, model.answered) == (1, 1)


def test_a_throttled_client_gets_a_little(tmp_path: Path) -> None:
    made = gateway(tmp_path, "throttle")
    assert [made.admits("mallory") for _ in range(50)].count(True) <= THROTTLED_BURST + 1
    assert made.admits("alice")


@pytest.mark.parametrize(
    ("action", "shadow"), [("watch", False), ("allow", False), ("block", True)]
)
def test_watching_and_shadow_refuse_nobody(tmp_path: Path, action: str, shadow: bool) -> None:
    assert gateway(tmp_path, action, shadow=shadow).admits("mallory")
