"""Counters of the notifiers; every series exists from the start, so absence means nothing."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from streams.notify.base import Reason, Withheld

NOTIFICATIONS = Counter(
    "vedette_notifications_total", "Alerts delivered to the receiver.", ["notifier"]
)
FAILURES = Counter(
    "vedette_notifications_failed_total", "Attempts that failed.", ["notifier", "reason"]
)
GIVEN_UP = Counter(
    "vedette_notifications_given_up_total", "Alerts the receiver refused for ever.", ["notifier"]
)
TRUNCATED = Counter(
    "vedette_notifications_truncated_total", "Cuts, of texts or of names.", ["notifier"]
)
WITHHELD = Counter(
    "vedette_notifications_withheld_total",
    "Alerts that a sink does not take, or takes later in a digest.",
    ["notifier", "reason"],
)
DIGESTS = Counter("vedette_notification_digests_total", "Digests sent.", ["notifier"])
DISABLED = Gauge(
    "vedette_notifier_disabled_info", "1 if deliveries stopped until a restart.", ["notifier"]
)
ATTEMPT_SECONDS = Histogram(
    "vedette_notification_seconds", "Duration of one attempt.", ["notifier"]
)


def initialise(notifier: str) -> None:
    """Create every series of a notifier."""
    NOTIFICATIONS.labels(notifier)
    GIVEN_UP.labels(notifier)
    DISABLED.labels(notifier).set(0)
    ATTEMPT_SECONDS.labels(notifier)
    TRUNCATED.labels(notifier)
    DIGESTS.labels(notifier)
    for withheld in get_args(Withheld):
        WITHHELD.labels(notifier, withheld)
    for reason in get_args(Reason):
        FAILURES.labels(notifier, reason)
