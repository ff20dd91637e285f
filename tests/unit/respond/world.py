"""Incidents, the findings they get and every alert they gave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY

from config.respond import RespondSettings
from detectors.finding import Subject
from streams.respond.incidents import Incidents
from streams.respond.times import microseconds
from tests.unit.respond.samples import RULES, finding

if TYPE_CHECKING:
    from streams.respond.alerts import Alert

BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


def at(seconds=0.0):
    return (BEGAN + timedelta(seconds=seconds)).isoformat()


def at_us(seconds=0.0):
    return microseconds(BEGAN + timedelta(seconds=seconds))


class World:
    """Incidents, and every alert they gave."""

    def __init__(self, rules=RULES, **options):
        self.incidents = Incidents(RespondSettings(**options))
        self.rules = rules
        self.alerts: list[Alert] = []
        self.number = 0

    def find(self, seconds=0.0, client="u1_a", **changes):
        """Take a finding and return the reasons of its alerts."""
        self.number += 1
        fields = {
            "id": f"f{self.number}",
            "time": at(seconds),
            "subject": Subject(type="client", ids=(client,)),
            **changes,
        }
        found = self.incidents.take(finding(**fields), self.rules)
        self.alerts += found
        return [alert.reason for alert in found]

    def wait(self, seconds):
        found = self.incidents.advance(at_us(seconds), self.rules)
        self.alerts += found
        return [alert.reason for alert in found]


def decisions(reason):
    return REGISTRY.get_sample_value("vedette_decisions_total", {"reason": reason}) or 0
