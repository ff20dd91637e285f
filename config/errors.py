"""The three families of failure, by what has to happen next."""

from __future__ import annotations


class VedetteError(Exception):
    """Root of every error Vedette raises on purpose; its text names cause and remedy.

    The text never holds payloads, keys or URLs with tokens.
    """


class PoisonRecord(VedetteError):
    """A record that can never be processed: dead-letter it and go on.

    Parameters
    ----------
    reason
        One of a closed set of short snake_case names; becomes a metric label and the
        ``vedette-error-class`` header of the dead letter.
    detail
        A sentence without any content of the record.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Transient(VedetteError):
    """A failure that passes by itself: pause, then retry after ``retry_after_s``."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Fatal(VedetteError):
    """Nothing can go on: stop the worker with a non-zero exit and acknowledge nothing."""


class ConfigError(Fatal):
    """The configuration is wrong; the text says which setting and what it should be."""
