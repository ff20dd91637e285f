"""From decoded records to frames: halves are joined, rows become columns."""

from __future__ import annotations
