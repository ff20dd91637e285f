"""How much is measured: enough for steady figures, or just enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = "digits"
#: Event times advance by this much in the topics that are filled ahead.
EVENTS_PER_S = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of the parts of a run.

    Attributes
    ----------
    events
        Of the bare consumer and each role alone, and of the whole.
    latency_s
        How long traffic is sent at half of the whole's rate.
    per_client_rate
        Events a second of one client while latency is measured.
    """

    events: int = 100_000
    clients: int = 300
    pictures: int = 4000
    reference_rows: int = 6000
    stock_events: int = 5000
    latency_s: float = 30.0
    attackers: int = 60
    per_client_rate: float = 3.0
    memory_events: int = 2_000_000
    memory_clients: int = 50_000


FULL = Plan()
QUICK = Plan(
    events=6000,
    clients=60,
    pictures=600,
    reference_rows=1500,
    stock_events=500,
    latency_s=8.0,
    memory_events=65_536,
    memory_clients=2048,
)
