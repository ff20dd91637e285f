"""A window as a document of ``metrics-vedette.window-*``; latencies in nanoseconds, as in ECS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streams.respond.times import iso_us
from streams.store import ecs

if TYPE_CHECKING:
    from streams.store.totals import Totals
    from streams.store.windows import Closed

WINDOW_DATASET = "vedette.window"
PERCENTILES = (50, 95, 99)
_NS = 1000
_DIGITS = 6

_encoder = msgspec.json.Encoder(order="sorted")


class WindowRow(NamedTuple):
    """A window as it is stored; ``ts`` in microseconds."""

    id: str
    ts: int
    model: str | None
    tenant: str | None
    body: bytes


def window_row(closed: Closed, namespace: str = ecs.NAMESPACE) -> WindowRow:
    """Return the document of a closed window."""
    totals = closed.totals
    start, end = iso_us(closed.start_us), iso_us(closed.end_us)
    what = f"{totals.requests} calls" if totals.requests else f"{totals.alerts} alerts"
    document: dict[str, Any] = {
        "@timestamp": start,
        "data_stream": {"type": "metrics", "dataset": WINDOW_DATASET, "namespace": namespace},
        "ecs": {"version": ecs.ECS_VERSION},
        "event": {
            "kind": "metric",
            "category": ["api"],
            "type": ["info"],
            "module": ecs.MODULE,
            "dataset": WINDOW_DATASET,
            "id": closed.id,
            "start": start,
            "end": end,
        },
        "message": f"{what} of {closed.model or 'no model'} within the window",
        "tags": [],
        "vedette": {"window": _counts(closed)},
    }
    if closed.model is not None:
        document["vedette"]["model"] = {"name": closed.model}
    if closed.tenant is not None:
        document["organization"] = {"id": closed.tenant}
    return WindowRow(
        closed.id, closed.start_us, closed.model, closed.tenant, _encoder.encode(document)
    )


def _counts(closed: Closed) -> dict[str, Any]:
    totals = closed.totals
    counts: dict[str, Any] = {
        "length": (closed.end_us - closed.start_us) * _NS,
        "alerts": totals.alerts,
        "requests": totals.requests,
    }
    if totals.requests:
        counts |= {
            "clients": closed.clients,
            "errors": totals.errors,
            "denied": totals.denied,
            "unscanned": totals.unscanned,
            "tokens": {"input": totals.input_tokens, "output": totals.output_tokens},
        }
    if totals.latency_bins:
        counts["latency"] = _latency(totals)
    if totals.confidence_count:
        mean = totals.confidence_sum / totals.confidence_count
        counts["confidence"] = {
            "mean": round(mean / 1e6, _DIGITS),
            "min": round(totals.confidence_min / 1e6, _DIGITS),
            "count": totals.confidence_count,
        }
    return counts


def _latency(totals: Totals) -> dict[str, Any]:
    values, counts = totals.histogram()
    return {
        **{f"p{percent}": (totals.percentile(percent) or 0) * _NS for percent in PERCENTILES},
        "max": totals.latency_max * _NS,
        "mean": totals.latency_sum * _NS // sum(counts),
        "histogram": {"values": [value * _NS for value in values], "counts": counts},
    }
