"""What is found and not told: silences, inhibition, and rules in shadow; and what counts more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.respond.silences import Silence
from streams.respond.times import microseconds
from streams.rules.load import BUILT_IN, load_rules
from tests.unit.respond.world import BEGAN, World, decisions


class TestSilences:
    def silence(self, **fields):
        world = World()
        until = microseconds(BEGAN + timedelta(hours=1))
        world.incidents.silences.add(
            Silence(id="s", author="ann", reason="load test", until_us=until, **fields)
        )
        return world

    @pytest.mark.parametrize(
        "fields",
        [{"rule": "extraction"}, {"model": "digits"}, {"client": "u1_a"}, {"tenant": "t1"}],
    )
    def test_what_it_covers_is_not_told_until_it_ends(self, fields):
        world = self.silence(**fields)
        before = decisions("silenced")
        assert world.find(0) == []
        assert world.find(1) == []
        assert decisions("silenced") == before + 2
        assert world.find(3601) == ["opened"]
        assert world.alerts[0].findings_total == 3

    @pytest.mark.parametrize(
        "fields", [{"rule": "burst"}, {"model": "iris"}, {"client": "u1_b"}, {"tenant": "t2"}]
    )
    def test_what_it_does_not_cover_is_told(self, fields):
        assert self.silence(**fields).find(0) == ["opened"]

    def test_it_may_be_ended_early(self):
        world = self.silence(rule="extraction")
        world.incidents.silences.end("s")
        assert world.find(0) == ["opened"]

    def test_what_was_never_told_ends_without_a_word(self):
        world = self.silence(rule="extraction")
        world.find(0)
        assert world.wait(7200) == []


def test_a_graver_incident_of_the_same_client_inhibits_a_milder_one():
    world = World()
    world.find(0, kind="evasion")
    before = decisions("inhibited")
    assert world.find(1, kind="anomaly") == []
    assert decisions("inhibited") == before + 1
    assert world.find(2, kind="anomaly", client="u1_other") == ["opened"]


def test_the_models_that_matter_most_alarm_one_severity_higher():
    plain, crown = World(), World(assets={"digits": "critical"})
    plain.find(severity="medium")
    crown.find(severity="medium")
    assert plain.alerts[0].severity == "medium"
    assert crown.alerts[0].severity == "high"
    assert crown.alerts[0].risk_score > plain.alerts[0].risk_score


def test_a_shadow_rule_writes_alerts_that_say_so(tmp_path):
    text = (BUILT_IN / "extraction.yaml").read_text().replace("id: extraction", "id: extraction-b")
    (tmp_path / "b.yaml").write_text(text.replace("  title", "  mode: shadow\n  title"))
    world = World(load_rules((BUILT_IN, tmp_path)))
    world.find()
    live, shadow = world.alerts
    assert (live.rule, live.shadow) == ("extraction", False)
    assert (shadow.rule, shadow.shadow) == ("extraction-b", True)
    assert live.id != shadow.id
