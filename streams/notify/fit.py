"""Makes alerts fit what a provider takes; what is cut is counted and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streams.notify import metrics
from streams.respond.text import ELLIPSIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.respond.alerts import Alert


def cut(text: str, limit_chars: int, notifier: str) -> str:
    """Return the text within the limit, with an ellipsis and a count if it was longer."""
    if len(text) <= limit_chars:
        return text
    metrics.TRUNCATED.labels(notifier).inc()
    return text[: limit_chars - 1] + ELLIPSIS


def fitting(
    alert: Alert, encode: Callable[[Alert], bytes], limit_bytes: int, notifier: str
) -> bytes | None:
    """Return the first encoding that fits, of the alert and ever thinner forms; None if none."""
    for number, thinner in enumerate(_thinner(alert)):
        body = encode(thinner)
        if len(body) <= limit_bytes:
            if number:
                metrics.TRUNCATED.labels(notifier).inc()
            return body
    return None


def _thinner(alert: Alert) -> Iterator[Alert]:
    """Yield ever thinner forms: what is least needed goes first, ids and advice stay."""
    yield alert
    alert = msgspec.structs.replace(alert, timeline=(), evidence={})
    yield alert
    alert = msgspec.structs.replace(alert, interactions=alert.interactions[:1], explanation=None)
    yield alert
    subject = msgspec.structs.replace(alert.subject, ids=alert.subject.ids[:1])
    alert = msgspec.structs.replace(alert, subject=subject, atlas=alert.atlas[:1], owasp=())
    yield alert
    yield msgspec.structs.replace(alert, held=alert.held[:10], summary=alert.summary[:300])
