"""Settings of alerts, sinks, verdicts, metrics and the watch over the watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator

from config.section import Section

SeverityName = Literal["info", "low", "medium", "high", "critical"]
AssetValue = Literal["low", "normal", "high", "critical"]
_NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"


class QuietHours(Section):
    """Hours in which a sink only takes what is urgent; the rest comes as one digest after."""

    begins: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    ends: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    zone: str = "UTC"
    urgent: SeverityName = "critical"

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("there is no such time zone") from None
        return zone


class SinkSettings(Section):
    """What every sink has: a name, which alerts it takes, how many, and how fast."""

    name: str = Field(pattern=_NAME)
    timeout_s: float = Field(default=15.0, gt=0, le=30)
    allow_private: bool = Field(
        default=False,
        description="permit http and loopback or private addresses (tests, in-cluster)",
    )
    min_severity: SeverityName = "info"
    models: tuple[str, ...] = Field(default=(), description="names, or prefixes ending with *")
    tenants: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    techniques: tuple[str, ...] = Field(default=(), description="ATLAS ids or their beginnings")
    quiet_hours: QuietHours | None = None
    per_minute: float = Field(default=60.0, gt=0, le=60_000)
    burst: int = Field(default=60, ge=1, le=10_000)
    heartbeat: bool = Field(default=False, description="also send the dead man's switch")
    resolved: bool = Field(default=True, description="also tell that an incident has ended")


class WebhookSettings(SinkSettings):
    """A Standard Webhooks endpoint."""

    type: Literal["webhook"] = "webhook"
    url: SecretStr
    secret: SecretStr


class AlertmanagerSettings(SinkSettings):
    """An Alertmanager; ``url`` is its root, such as https://alertmanager.example.org."""

    type: Literal["alertmanager"]
    url: SecretStr
    token: SecretStr | None = None
    firing_s: float = Field(
        default=21_600.0, gt=0, description="how long an alert fires; longer than reminders take"
    )


class PagerDutySettings(SinkSettings):
    """A PagerDuty service, Events API v2."""

    type: Literal["pagerduty"]
    routing_key: SecretStr
    url: SecretStr = SecretStr("https://events.pagerduty.com/v2/enqueue")


class SlackSettings(SinkSettings):
    """A Slack incoming webhook; its URL is the secret."""

    type: Literal["slack"]
    url: SecretStr
    per_minute: float = Field(default=30.0, gt=0, le=60)
    burst: int = Field(default=1, ge=1, le=10)


class CloudEventsSettings(SinkSettings):
    """An HTTP endpoint for CloudEvents 1.0."""

    type: Literal["cloudevents"]
    url: SecretStr
    token: SecretStr | None = None
    mode: Literal["binary", "structured"] = "binary"


class SmtpSettings(SinkSettings):
    """E-mail through a relay."""

    type: Literal["smtp"]
    host: str
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str
    recipients: tuple[str, ...] = Field(min_length=1, max_length=50)


class KafkaSinkSettings(SinkSettings):
    """A topic on the broker of the settings, for other systems."""

    type: Literal["kafka"]
    topic: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,200}$")
    format: Literal["ocsf", "alert"] = "ocsf"
    per_minute: float = Field(default=6000.0, gt=0, le=60_000)
    burst: int = Field(default=1000, ge=1, le=10_000)


AnySink = Annotated[
    WebhookSettings
    | AlertmanagerSettings
    | PagerDutySettings
    | SlackSettings
    | CloudEventsSettings
    | SmtpSettings
    | KafkaSinkSettings,
    Field(discriminator="type"),
]


class RespondSettings(Section):
    """Incidents, sinks and verdicts."""

    webhooks: tuple[WebhookSettings, ...] = ()
    sinks: tuple[AnySink, ...] = ()
    rules_dir: Path | None = Field(default=None, description="rules of your own")
    assets: dict[str, AssetValue] = Field(default={}, description="value of a model, by name")
    max_incidents: int = Field(default=20_000, ge=16)
    max_incident_clients: int = Field(default=400_000, ge=1000)
    snapshot_interval_s: float = Field(default=1.0, ge=0)
    lower_false: bool = Field(
        default=True, description="tell what analysts keep calling false one severity lower"
    )
    verdict_ttl_s: float = Field(default=3600.0, gt=0)
    verdict_shadow: bool = Field(
        default=True, description="gateways log verdicts instead of acting on them"
    )
    verdict_delay_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="a verdict begins at a random moment within so many seconds",
    )
    verdict_offences: int = Field(
        default=6, ge=1, le=20, description="the time of a verdict doubles at most so often, less 1"
    )
    verdict_allow: tuple[str, ...] = Field(
        default=(), description="pseudonyms of clients that are never judged"
    )
    verdict_allow_tenants: tuple[str, ...] = ()
    retry_schedule_s: tuple[float, ...] = (
        5,
        300,
        1800,
        7200,
        18_000,
        36_000,
        50_400,
        72_000,
        86_400,
    )

    @field_validator("sinks")
    @classmethod
    def _one_name_each(cls, sinks: tuple[SinkSettings, ...]) -> tuple[SinkSettings, ...]:
        names = [sink.name for sink in sinks]
        if len(set(names)) < len(names):
            raise ValueError("two sinks have the same name")
        return sinks


class TenantPolicy(Section):
    """How the verdicts of one tenant are applied."""

    fail: Literal["open", "closed"] = "open"
    shadow: bool | None = None


class LiteLLMSettings(Section):
    """A LiteLLM proxy whose customers are blocked and unblocked."""

    url: SecretStr
    key: SecretStr
    allow_private: bool = True


class VerdictsSettings(Section):
    """The lookup service and what it drives."""

    host: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: int = Field(default=9480, ge=0, le=65_535)
    max_entries: int = Field(default=4_000_000, ge=1000)
    fail: Literal["open", "closed"] = "open"
    stale_s: float = Field(default=60.0, gt=0, description="older tables fail as stated")
    tenants: dict[str, TenantPolicy] = Field(default={}, description="what differs, by tenant")
    envoy_file: Path | None = None
    envoy_header: str = Field(default="x-vedette-client", pattern=r"^[a-z0-9-]{1,60}$")
    litellm: LiteLLMSettings | None = None


class MetricsSettings(Section):
    """The metrics endpoint of a role."""

    enabled: bool = True
    host: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: int = Field(default=9461, ge=1024, le=65_000, description="of ingest; others follow")


class WatchSettings(Section):
    """When the watch itself needs help."""

    every_s: float = Field(default=15.0, ge=0.1)
    heartbeat_s: float = Field(default=60.0, ge=1)
    lag_records: int = Field(default=50_000, ge=1)
    lag_s: float = Field(default=120.0, gt=0, description="without progress while records wait")
    dead_letters_per_minute: float = Field(default=60.0, gt=0)
    blind_s: float = Field(
        default=900.0, gt=0, description="without any event, where there had been some"
    )
    clock_skew_s: float = Field(default=120.0, gt=0)
