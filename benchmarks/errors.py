"""What can go wrong in a benchmark."""

from __future__ import annotations

from config.errors import VedetteError


class BenchmarkError(VedetteError):
    """Something could not be measured; the text says what."""
