"""What the intake answered."""

from __future__ import annotations

from prometheus_client import Counter

ANSWERS = Counter("vedette_intake_requests_total", "Answers, by format.", ["format", "status"])
EVENTS = Counter("vedette_intake_events_total", "Events that Kafka has acknowledged.")
