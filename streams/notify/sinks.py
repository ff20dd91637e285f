"""From settings to running sinks: a new notifier is one more line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import ConfigError
from streams.notify.alertmanager import AlertmanagerNotifier
from streams.notify.cloudevents import CloudEventsNotifier
from streams.notify.delivery import Delivery
from streams.notify.kafka_sink import KafkaNotifier
from streams.notify.pagerduty import PagerDutyNotifier
from streams.notify.slack import SlackNotifier
from streams.notify.smtp import SmtpNotifier
from streams.notify.webhook import WebhookNotifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.respond import SinkSettings
    from config.settings import KafkaSettings, Settings
    from streams.notify.base import Notifier

#: By ``type`` of the settings.
NOTIFIERS: dict[str, Callable[[Any, KafkaSettings], Notifier]] = {
    "webhook": lambda sink, _: WebhookNotifier(sink),
    "alertmanager": lambda sink, _: AlertmanagerNotifier(sink),
    "pagerduty": lambda sink, _: PagerDutyNotifier(sink),
    "slack": lambda sink, _: SlackNotifier(sink),
    "cloudevents": lambda sink, _: CloudEventsNotifier(sink),
    "smtp": lambda sink, _: SmtpNotifier(sink),
    "kafka": KafkaNotifier,
}


def sinks_of(settings: Settings) -> dict[str, SinkSettings]:
    """Return all sinks by name.

    Raises
    ------
    ConfigError
        If two have one name.
    """
    found: dict[str, SinkSettings] = {}
    for sink in (*settings.respond.webhooks, *settings.respond.sinks):
        if sink.name in found:
            raise ConfigError(f"two sinks are called {sink.name}; each has its own name")
        found[sink.name] = sink
    return found


def notifier_of(sink: SinkSettings, kafka: KafkaSettings) -> Notifier:
    """Build the notifier of a sink.

    Raises
    ------
    ConfigError
        If its settings are wrong; the text repeats no secret.
    """
    kind: str = sink.type  # type: ignore[attr-defined] # every concrete sink has one
    return NOTIFIERS[kind](sink, kafka)


def deliveries(settings: Settings, on_disabled: Callable[[str, str], None]) -> dict[str, Delivery]:
    """Return the deliveries of all sinks by name."""
    schedule_s = settings.respond.retry_schedule_s
    return {
        name: Delivery(
            notifier_of(sink, settings.kafka), sink, settings.kafka, schedule_s, on_disabled
        )
        for name, sink in sinks_of(settings).items()
    }
