"""The embedded broker: real Apache Kafka, one KRaft node on loopback, no Docker needed."""

from __future__ import annotations

from streams.broker.lifecycle import Status, ensure_running, start, status, stop

__all__ = ["Status", "ensure_running", "start", "status", "stop"]
