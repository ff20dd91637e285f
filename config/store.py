"""Settings of the audit trail: `index`, its checkpoints, Elasticsearch and Kibana."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from config.section import Section


class CheckpointWebhook(Section):
    """Where signed checkpoints go by Standard Webhooks: a host of somebody else."""

    url: SecretStr
    secret: SecretStr
    timeout_s: float = Field(default=15.0, gt=0, le=60)
    allow_private: bool = Field(
        default=False, description="permit http and loopback or private addresses"
    )


class IndexSettings(Section):
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


class ElasticSettings(Section):
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


class KibanaSettings(Section):
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
