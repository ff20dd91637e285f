"""What may be said of a failure: the text of a foreign exception may hold traffic or secrets."""

from __future__ import annotations

import traceback

from config.errors import VedetteError


def describe(error: BaseException) -> str:
    """Say what failed and where; only Vedette's own errors may speak, others may hold traffic."""
    if isinstance(error, VedetteError):
        return str(error)
    frames = frames_of(error)
    return f"{type(error).__name__} at {frames[-1] if frames else 'an unknown place'}"


def frames_of(error: BaseException) -> list[str]:
    """Return where an exception comes from, the innermost place last."""
    stack = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in stack]
