"""Incidents of one cause become one campaign, whoever finds it."""

from __future__ import annotations

from detectors.finding import Subject
from tests.unit.respond.world import World


class TestCampaigns:
    def test_many_clients_of_one_cause_become_one_incident(self):
        world = World()
        reasons = [world.find(n, client=f"u1_{n}") for n in range(100)]
        assert reasons[:4] == [["opened"]] * 4
        assert reasons[4] == ["campaign_opened"]
        # After 30 s, then after 60 s more.
        grown = [number for number, reason in enumerate(reasons) if reason == ["campaign_grew"]]
        assert grown == [34, 94]
        assert len(world.incidents.open) == 1
        last = world.alerts[-1]
        assert (last.subject.type, last.subjects_total, last.exact) == ("campaign", 95, True)
        assert "a campaign of 95 clients" in last.summary

    def test_a_campaign_of_a_day_is_a_dozen_alerts_and_names_everybody(self):
        world = World()
        for number in range(2400):
            world.find(number * 36, client=f"u1_{number}")
        world.wait(2 * 86_400)
        assert len(world.alerts) <= 20
        assert world.alerts[-1].subjects_total == 2400

    def test_a_sudden_tenfold_growth_is_told_without_the_long_pause(self):
        world = World()
        for number in range(6):
            world.find(number * 90, client=f"u1_{number}")
        told = len(world.alerts)
        found = [world.find(600 + number / 10, client=f"u2_{number}") for number in range(400)]
        assert ["campaign_grew"] in found
        assert len(world.alerts) <= told + 2

    def test_slow_clients_are_no_campaign(self):
        world = World()
        for number in range(20):
            assert "opened" in world.find(number * 200, client=f"u1_{number}")
        assert all(alert.subject.type == "client" for alert in world.alerts)

    def test_the_campaign_keeps_what_the_single_incidents_had(self):
        world = World()
        for number in range(4):
            world.find(number, client=f"u1_{number}")
            world.find(number, client=f"u1_{number}")
        world.find(4, client="u1_4")
        (campaign,) = world.incidents.open.values()
        assert campaign.findings == 9
        assert campaign.clients == {"u1_4": 1, **{f"u1_{n}": 2 for n in range(4)}}

    def test_a_member_that_is_worse_than_the_campaign_is_told(self):
        world = World()
        for number in range(30):
            world.find(number, client=f"u1_{number}", severity="medium")
        assert world.find(31, client="u1_bad", severity="critical") == ["severity_rose"]

    def test_counts_are_exact_at_the_end(self):
        world = World()
        for number in range(3000):
            world.find(number / 100, client=f"u1_{number % 1000}")
        world.wait(7200)
        last = world.alerts[-1]
        assert (last.state, last.subjects_total, last.findings_total) == ("resolved", 1000, 3000)

    def test_a_bounded_memory_says_that_it_is_no_longer_exact(self):
        world = World(max_incident_clients=1000)
        for number in range(1500):
            world.find(number / 1000, client=f"u1_{number}")
        world.wait(7200)
        last = world.alerts[-1]
        assert not last.exact
        assert "at least" in last.summary

    def test_campaigns_that_a_detector_finds_join_by_clients_or_by_channel_and_time(self):
        world = World()

        def found(seconds, *clients, channel="far"):
            subject = Subject(type="campaign", ids=clients)
            evidence = {"channel": channel}
            return world.find(seconds, kind="collusion", subject=subject, evidence=evidence)

        assert found(0, "a", "b", "c") == ["opened"]
        # Another partition's part of it, then one with a client in common.
        assert found(1, "x", "y") == []
        assert found(2, "c", "d", channel="near") == []
        # Another channel, or much later.
        assert found(3, "p", "q", channel="margin") == ["opened"]
        assert found(1000, "m", "n") == ["opened"]
        sizes = [len(incident.clients) for incident in world.incidents.open.values()]
        assert sizes == [6, 2, 2]
