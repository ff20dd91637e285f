"""Process settings: defaults that run on a laptop, overridden by ``VEDETTE_*`` variables.

``VEDETTE_KAFKA__BOOTSTRAP_SERVERS`` sets ``kafka.bootstrap_servers``: two underscores nest.
Secrets may also lie in files, see `SecretSource`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.content import ContentSettings
from config.errors import ConfigError
from config.intake import IngestSettings, IntakeSettings, SourceSettings
from config.respond import (
    MetricsSettings,
    RespondSettings,
    VerdictsSettings,
    WatchSettings,
    WebhookSettings,
)
from config.section import Section
from config.store import CheckpointWebhook, ElasticSettings, IndexSettings, KibanaSettings

__all__ = [
    "ENV_PREFIX",
    "CheckpointWebhook",
    "ContentSettings",
    "DetectSettings",
    "ElasticSettings",
    "IndexSettings",
    "IngestSettings",
    "IntakeSettings",
    "KafkaSettings",
    "KibanaSettings",
    "MetricsSettings",
    "RespondSettings",
    "ServeSettings",
    "Settings",
    "SourceSettings",
    "VerdictsSettings",
    "WatchSettings",
    "WebhookSettings",
    "load_settings",
]

ENV_PREFIX = "VEDETTE_"


class KafkaSettings(Section):
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


class ServeSettings(Section):
    """Micro-batching of the optional model server."""

    model: str | None = None
    max_batch_rows: int = Field(default=256, ge=1)
    max_batch_bytes: int = Field(default=64 << 20, ge=1024)
    max_delay_ms: float = Field(default=5.0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class DetectSettings(Section):
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
