"""Process settings: defaults that run on a laptop, overridden by ``VEDETTE_*`` variables.

``VEDETTE_KAFKA__BOOTSTRAP_SERVERS`` sets ``kafka.bootstrap_servers``: two underscores nest.
Secrets may also lie in files, see `SecretSource`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.content import ContentSettings
from config.errors import ConfigError
from config.respond import (
    MetricsSettings,
    RespondSettings,
    VerdictsSettings,
    WatchSettings,
    WebhookSettings,
)
from config.section import Section as _Section

__all__ = [
    "ENV_PREFIX",
    "ContentSettings",
    "DetectSettings",
    "IndexSettings",
    "IngestSettings",
    "KafkaSettings",
    "MetricsSettings",
    "RespondSettings",
    "ServeSettings",
    "Settings",
    "VerdictsSettings",
    "WatchSettings",
    "WebhookSettings",
    "load_settings",
]

ENV_PREFIX = "VEDETTE_"


class KafkaSettings(_Section):
    """Where the broker is and how to speak to it."""

    bootstrap_servers: str = "127.0.0.1:29092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ca_file: Path | None = None
    session_timeout_s: float = Field(default=30.0, ge=2)
    heartbeat_interval_s: float = Field(default=3.0, ge=0.5)
    commit_interval_s: float = Field(default=0.5, gt=0)
    fetch_max_bytes: int = Field(default=1 << 20, ge=1 << 16)
    replication_factor: int = Field(default=1, ge=1)


#: Where a source says who called, see `streams.decode.rules`.
IdentityRule = Annotated[
    str,
    Field(pattern=r"^(?:key|(?:header|attribute|metadata|body):[A-Za-z0-9_.\-]{1,128})$"),
]


class SourceSettings(_Section):
    """How one source topic is read, where it is not as its format usually is."""

    format: Literal[
        "auto", "cloudevents", "seldon", "mlserver", "otlp", "litellm", "envoy", "bare"
    ] = "auto"
    model: str | None = Field(
        default=None, description="the model, where neither envelope nor body names it"
    )
    client: tuple[IdentityRule, ...] = ()
    tenant: tuple[IdentityRule, ...] = ()
    key: tuple[IdentityRule, ...] = ()
    network: tuple[IdentityRule, ...] = ()
    trusted_hops: int = Field(
        default=0, ge=0, le=16, description="own proxies that append to x-forwarded-for"
    )
    anonymous: Literal["auto", "keep", "refuse"] = Field(
        default="auto", description="what to do with events that do not say who called"
    )
    join: Literal["partition", "shared"] = Field(
        default="partition",
        description="shared: the two halves lie in several partitions or topics",
    )


class IngestSettings(_Section):
    """What is read from producers and within which bounds."""

    topics: tuple[str, ...] = ("vedette.events.v1", "vedette.responses.v1")
    sources: dict[str, SourceSettings] = Field(default={}, description="by topic")
    max_record_bytes: int = Field(default=4 << 20, ge=1024)
    max_tensor_elements: int = Field(default=1 << 22, ge=1)
    max_text_bytes: int = Field(default=256 << 10, ge=256)
    max_identity_bytes: int = Field(default=512, ge=16)
    max_batch_rows: int = Field(default=4096, ge=1)
    max_past_s: float = Field(default=86_400.0, gt=0)
    max_future_s: float = Field(default=300.0, gt=0)
    join_timeout_s: float = Field(default=60.0, gt=0)
    max_pending_halves: int = Field(default=200_000, ge=1)
    max_pending_bytes: int = Field(default=128 << 20, ge=1 << 16)
    dedup_events: int = Field(
        default=1 << 16,
        ge=1,
        description="last events of a partition, at least, that are known when they come again",
    )
    frame_rows: int = Field(default=512, ge=1, le=8192)
    frame_bytes: int = Field(default=512 << 10, ge=4096)
    snapshot_interval_s: float = Field(default=2.0, gt=0)
    redact: Literal["mask", "drop", "off"] = Field(
        default="mask",
        description="personal data and secrets in texts: masked, no text kept at all, or left",
    )
    text_tenants: tuple[str, ...] = Field(
        default=(), description="tenants whose texts are kept, masked, where redact is drop"
    )


class IntakeSettings(_Section):
    """The HTTP server that takes events of loggers that cannot speak Kafka."""

    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=0, le=65535)
    topic: str = "vedette.events.v1"
    token: SecretStr | None = Field(
        default=None, description="bearer token, or password of basic authentication"
    )
    certificate: Path | None = Field(default=None, description="PEM, with its chain")
    certificate_key: Path | None = None
    max_body_bytes: int = Field(default=4 << 20, ge=1024)
    max_waiting_bytes: int = Field(
        default=64 << 20, ge=1 << 20, description="bodies that may wait for Kafka together"
    )
    max_waiting_requests: int = Field(default=1024, ge=1)
    max_connections: int = Field(default=1024, ge=1)
    max_connections_per_address: int = Field(default=256, ge=1)
    acknowledge_timeout_s: float = Field(default=10.0, gt=0)
    head_timeout_s: float = Field(
        default=10.0, gt=0, description="for the TLS handshake, and for the head of a request"
    )
    read_timeout_s: float = Field(default=10.0, gt=0, description="for a body")
    idle_timeout_s: float = Field(default=75.0, gt=0, description="between two requests")


class ServeSettings(_Section):
    """Micro-batching of the optional model server."""

    model: str | None = None
    max_batch_rows: int = Field(default=256, ge=1)
    max_batch_bytes: int = Field(default=64 << 20, ge=1024)
    max_delay_ms: float = Field(default=5.0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class DetectSettings(_Section):
    """State and run length of the detectors."""

    run_length_events: int = Field(
        default=60_000,
        ge=100,
        description="wanted benign events between false alarms of one client",
    )
    max_clients: int = Field(
        default=50_000, ge=2048, description="client slots per partition and model"
    )
    profile_key: Path | None = Field(
        default=None,
        description="public key that must have signed the profiles; else the one beside them",
    )
    snapshot_interval_s: float = Field(default=2.0, gt=0)
    lateness_s: float = Field(default=10.0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class CheckpointWebhook(_Section):
    """Where signed checkpoints go by Standard Webhooks: a host of somebody else."""

    url: SecretStr
    secret: SecretStr
    timeout_s: float = Field(default=15.0, gt=0, le=60)
    allow_private: bool = Field(
        default=False, description="permit http and loopback or private addresses"
    )


class IndexSettings(_Section):
    """Where the audit trail goes."""

    store: Literal["sqlite", "elasticsearch"] = "sqlite"
    batch_documents: int = Field(default=2000, ge=1)
    log_name: str = Field(
        default="vedette",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$",
        description="first part of the names of the logs, and name of their key",
    )
    window_s: int = Field(
        default=60, ge=1, le=86_400, description="event time that calls are added up over"
    )
    window_lateness_s: int = Field(default=30, ge=0, le=86_400)
    retention_days: int | None = Field(
        default=None, ge=1, description="content of older documents is erased (SQLite)"
    )
    tenant_retention_days: dict[str, int] = Field(
        default={}, description="the same for single tenants, as JSON"
    )
    checkpoint_key: Path | None = Field(
        default=None, description="private key (PEM, Ed25519) that signs checkpoints"
    )
    checkpoint_records: int = Field(default=10_000, ge=1)
    checkpoint_interval_s: float = Field(default=60.0, gt=0)
    checkpoint_file: Path | None = Field(
        default=None, description="checkpoints are appended to it; best on another machine"
    )
    checkpoint_webhook: CheckpointWebhook | None = None


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a URL starts with http:// or https:// and names a host")
    if parts.username or parts.password or parts.query:
        raise ValueError("credentials do not belong into a URL; use an API key")
    return url


ServerUrl = Annotated[str, AfterValidator(_without_credentials)]


class ElasticSettings(_Section):
    """Where Elasticsearch is, and how documents reach it."""

    urls: tuple[ServerUrl, ...] = ("http://127.0.0.1:9200",)
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    fingerprint: str | None = Field(
        default=None, description="SHA-256 of the server's certificate, in place of a CA"
    )
    unsafe_no_verify: bool = Field(default=False, description="trust any certificate (tests)")
    unsafe_http: bool = Field(
        default=False, description="send the API key over http to other hosts (a private network)"
    )
    namespace: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_.]{0,99}$")
    retention_days: int | None = Field(
        default=None, ge=1, description="how long documents are kept; `setup` needs it"
    )
    batch_documents: int = Field(default=1000, ge=1, le=10_000)
    batch_bytes: int = Field(default=4 << 20, ge=1024)
    max_requests: int = Field(default=4, ge=1, le=64)
    timeout_s: float = Field(default=30.0, gt=0)


class KibanaSettings(_Section):
    """Where Kibana is."""

    url: ServerUrl = "http://127.0.0.1:5601"
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    unsafe_http: bool = Field(
        default=False, description="send the API key over http to other hosts (a private network)"
    )
    space: str = Field(default="default", pattern=r"^[a-z0-9_-]{1,64}$")
    timeout_s: float = Field(default=60.0, gt=0)


class Settings(BaseSettings):
    """Everything a Vedette process needs to know, frozen at start."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Path(".vedette")
    partitions: int = Field(default=4, ge=1, le=1024)
    state_url: str | None = None
    models_dir: Path | None = None
    profiles_dir: Path | None = None
    audit_db: Path | None = None
    pseudonym_key: SecretStr | None = None
    pseudonym_epoch: int = Field(default=1, ge=1, le=9999)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    kafka: KafkaSettings = KafkaSettings()
    ingest: IngestSettings = IngestSettings()
    intake: IntakeSettings = IntakeSettings()
    serve: ServeSettings = ServeSettings()
    detect: DetectSettings = DetectSettings()
    respond: RespondSettings = RespondSettings()
    index: IndexSettings = IndexSettings()
    content: ContentSettings = ContentSettings()
    elastic: ElasticSettings = ElasticSettings()
    kibana: KibanaSettings = KibanaSettings()
    verdicts: VerdictsSettings = VerdictsSettings()
    metrics: MetricsSettings = MetricsSettings()
    watch: WatchSettings = WatchSettings()

    @property
    def state(self) -> str:
        """fsspec URL of the state snapshots."""
        return self.state_url or (self.home / "state").absolute().as_uri()

    @property
    def models(self) -> Path:
        """Directory of registered models."""
        return self.models_dir or self.home / "models"

    @property
    def profiles(self) -> Path:
        """Directory of profiles, one subdirectory a model."""
        return self.profiles_dir or self.home / "profiles"

    @property
    def audit_database(self) -> Path:
        """SQLite file of the audit trail."""
        return self.audit_db or self.home / "audit.sqlite"

    @property
    def content_keys(self) -> Path:
        """Directory of the keys of kept content."""
        return self.content.keys_dir or self.home / "keys" / "content"

    @property
    def checkpoint_key(self) -> Path:
        """Private key of the checkpoints; the public one lies beside it, as ``.pub``."""
        return self.index.checkpoint_key or self.home / "keys" / "audit.key"


def load_settings() -> Settings:
    """Read settings from the environment, refusing misspelt ``VEDETTE_*`` names.

    Raises
    ------
    ConfigError
        If a variable names no setting or a value is out of bounds.
    """
    _refuse_unknown_names()
    try:
        return Settings()
    except ValueError as error:
        raise ConfigError(_explain(error)) from None


def _refuse_unknown_names() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name.split("__")[0] not in known:
            raise ConfigError(
                f"{name} names no setting; see `vedette config show` for those there are"
            )
        section, _, rest = name.removeprefix(ENV_PREFIX).lower().partition("__")
        field = Settings.model_fields.get(section) if rest else None
        fields = getattr(field.annotation, "model_fields", None) if field else None
        if rest and (fields is None or rest.split("__")[0] not in fields):
            raise ConfigError(f"{name} names no setting of section {section!r}")


def _explain(error: ValueError) -> str:
    """Say which setting is wrong without repeating its value, which may be a secret."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return "a VEDETTE_* variable could not be parsed; nested values are JSON"
    lines = [
        f"{ENV_PREFIX}{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in errors(include_input=False, include_url=False)
    ]
    return "; ".join(lines)
