"""Settings of what comes in: `ingest`, and the HTTP intake before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from config.section import Section

#: Where a source says who called, see `streams.decode.rules`.
IdentityRule = Annotated[
    str,
    Field(pattern=r"^(?:key|(?:header|attribute|metadata|body):[A-Za-z0-9_.\-]{1,128})$"),
]


class SourceSettings(Section):
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


class IngestSettings(Section):
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


class IntakeSettings(Section):
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
