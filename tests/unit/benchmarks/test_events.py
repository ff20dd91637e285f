"""The benchmark's events are what the roles take for ordinary traffic."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from benchmarks.pipeline.events import Benign, bodies, client_names
from benchmarks.pipeline.model import DigitsModel
from benchmarks.pipeline.plan import QUICK
from benchmarks.pipeline.whole import Attacked, ordinary


@pytest.fixture(scope="module")
def model() -> DigitsModel:
    return DigitsModel()


def test_pictures_are_the_same_for_a_seed(model: DigitsModel) -> None:
    pictures = model.benign(20, seed=3)
    assert pictures.shape == (20, 28, 28)
    assert pictures.dtype == np.uint8
    assert (pictures == DigitsModel().benign(20, seed=3)).all()
    assert (pictures != model.benign(20, seed=4)).any()


def test_a_body_is_a_v2_request_with_its_answer(model: DigitsModel) -> None:
    pictures = model.benign(2, seed=3)
    body = msgspec.json.decode(bodies(model, pictures)[1])
    (tensor,) = body["request"]["inputs"]
    assert tensor["data"] == pictures[1].reshape(-1).tolist()
    (answer,) = body["response"]["outputs"]
    assert sum(answer["data"]) == pytest.approx(1.0, abs=1e-4)


def test_attackers_join_one_after_the_other() -> None:
    benign = ordinary([b"benign"], QUICK, rate=1000.0)
    attacked = Attacked(benign, [b"noise"], QUICK, 1000.0)
    seen = list(attacked.events(start_us=5))
    assert [event.time_us for event in seen[:3]] == [5, 1005, 2005]
    attacks = [event for event in seen if event.client.startswith("attacker")]
    assert {event.body for event in attacks} == {b"noise"}
    assert {event.client for event in attacks[:3]} < {event.client for event in attacks}
    last = max(event.time_us for event in seen if event.client == "attacker-59")
    first = min(event.time_us for event in attacks)
    assert first < 0.1 * last


def test_clients_call_at_their_usual_pace() -> None:
    assert len(ordinary([b""], QUICK, rate=900.0).clients) == 300
    who, what = Benign([b"a", b"b"], client_names(3), seed=1).choose(50)
    assert set(who.tolist()) == {0, 1, 2}
    assert set(what.tolist()) == {0, 1}
