"""What a notifier is and what it may answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from streams.respond.alerts import Alert

#: Closed set: these become a metric label.
Reason = Literal[
    "address_refused",
    "client_error",
    "connection",
    "gone",
    "redirect",
    "refused_payload",
    "server_error",
    "slow_down",
    "timeout",
    "tls",
]

#: Why a sink is not told of an alert, or not now. Closed set: a metric label.
Withheld = Literal[
    "before_start",
    "heartbeat",
    "model",
    "quiet_hours",
    "rate_limit",
    "resolved",
    "route",
    "rule",
    "severity",
    "shadow",
    "technique",
    "tenant",
]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has the alert."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The receiver may take it later, not before ``after_s`` if it said so."""

    reason: Reason
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Permanent:
    """The receiver will never take this alert; others may pass."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants nothing any more."""

    reason: Reason = "gone"


Outcome = Delivered | RetryLater | Permanent | Gone


class Notifier(Protocol):
    """Sends one alert once. Retries, logs and counters are the retry stage's business.

    ``notify`` never raises for anything that the network or the receiver does, and neither its
    outcome nor its logs name the receiver's address or a secret.
    """

    @property
    def name(self) -> str:
        """Name from the settings, for logs and metrics."""

    async def start(self) -> None:
        """Open what is needed to send."""

    async def notify(self, alert: Alert) -> Outcome:
        """Try to deliver ``alert`` once."""

    async def close(self) -> None:
        """Close connections."""
