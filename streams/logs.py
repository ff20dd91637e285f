"""Structured logs: JSON lines on stderr, with everything that looks like a secret removed."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    Processor = structlog.typing.Processor

REDACTED = "[redacted]"
#: Parts of key names whose values are never written.
SECRET_PARTS = (
    "authorization",
    "completion",
    "cookie",
    "credential",
    "passphrase",
    "password",
    "payload",
    "private_key",
    "prompt",
    "pseudonym_key",
    "secret",
    "signature",
    "token",
)
#: Names that contain one of them and tell nothing.
HARMLESS = frozenset({"input_tokens", "max_tokens", "output_tokens", "tokens"})
MAX_DEPTH = 4


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under secret-looking keys, also in nested mappings (a processor)."""
    for key, value in event.items():
        if _is_secret(key):
            event[key] = REDACTED
        elif isinstance(value, dict):
            event[key] = _redact_nested(value, MAX_DEPTH)
    return event


def configure_logs(level: str, *, role: str | None = None) -> None:
    """Send structlog and the standard library's loggers to stderr as JSON lines.

    Parameters
    ----------
    level
        Lowest level written: debug, info, warning or error.
    role
        Added to every line as ``role``.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _constant("role", role),
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=_plain),
            ],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    _quiet_libraries(level)


def _quiet_libraries(level: str) -> None:
    """Keep the chatter of the client libraries for debugging."""
    if level == "debug":
        return
    for name in ("aiokafka", "kafka", "mode", "faust", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _constant(key: str, value: str | None) -> Processor:
    def add(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if value is not None:
            event.setdefault(key, value)
        return event

    return add


def _is_secret(key: object) -> bool:
    name = str(key).lower()
    return name not in HARMLESS and any(part in name for part in SECRET_PARTS)


def _redact_nested(values: dict[Any, Any], depth: int) -> dict[Any, Any]:
    if depth == 0:
        return {"...": REDACTED}
    return {
        key: REDACTED
        if _is_secret(key)
        else _redact_nested(value, depth - 1)
        if isinstance(value, dict)
        else value
        for key, value in values.items()
    }


def _plain(value: object) -> str:
    """Show what JSON cannot hold by its type, except where its text is short and safe."""
    return str(value) if isinstance(value, (set, frozenset, tuple)) else f"<{type(value).__name__}>"
