"""Personal data and secrets in texts: found by pattern and checksum, masked on entry."""

from __future__ import annotations

from streams.redact.redactor import Redactor

__all__ = ["Redactor"]
