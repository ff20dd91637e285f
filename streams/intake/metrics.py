"""What the intake answered."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

ANSWERS = Counter("vedette_intake_requests_total", "Answers, by format.", ["format", "status"])
CONNECTIONS = Gauge("vedette_intake_connections", "Connections that are open.")
CONNECTIONS_REFUSED = Counter(
    "vedette_intake_connections_refused_total", "Connections over the share of their address."
)
EVENTS = Counter("vedette_intake_events_total", "Events that Kafka has acknowledged.")
