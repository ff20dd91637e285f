"""A million findings in a minute, one cause, ten real incidents hidden in it.

``python -m benchmarks.respond.storm`` runs the core of respond as the role does, in chunks as one
fetch brings them, and prints what became of it; ``--findings`` makes it smaller.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from config.respond import RespondSettings
from detectors.finding import Finding, Subject, finding_id
from streams.respond.policy import VerdictPolicy
from streams.respond.responder import Responder
from streams.rules.load import load_rules
from streams.topics import ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 24_000
REAL = 10
MINUTE_S = 60.0
#: Records of a kilobyte that one fetch of a megabyte brings.
CHUNK = 1000
_BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm led to; times in seconds, ``real_delay_s`` of the ten from their finding on."""

    findings: int
    clients: int
    alerts: dict[str, int]
    verdicts: int
    real_found: int
    storm_alerts: int
    storm_clients_told: int
    storm_findings_told: int
    busy_s: float
    findings_per_s: float
    worst_chunk_s: float
    grown_bytes: int


def storm(findings: int, seed: int = 0) -> Iterator[bytes]:
    """Yield the findings as they lie on the topic."""
    rng = random.Random(seed)
    hidden = set(rng.sample(range(findings // 10, findings), REAL))
    # Every client is found at least once, then whoever.
    for number in range(findings):
        time_text = (_BEGAN + timedelta(seconds=MINUTE_S * number / findings)).isoformat()
        if number in hidden:
            client, kind, model, severity = f"thief-{number}", "extraction", "fraud", "high"
        else:
            client = f"u1_{number if number < CLIENTS else rng.randrange(CLIENTS)}"
            kind, model, severity = "burst", "digits", "medium"
        yield msgspec.json.encode(
            Finding(
                id=finding_id("storm", number),
                time=time_text,
                model=f"{model}-{number}" if kind == "extraction" else model,
                tenant="t1",
                kind=kind,
                detector="traffic.burst",
                version=1,
                subject=Subject(type="client", ids=(client,)),
                trigger=f"vedette.events.v1-0-{number}-0",
                events=100,
                since=time_text,
                log_e=12.0,
                run_length=60_000,
                severity=severity,  # type: ignore[arg-type] # one of two literals
                evidence={"escalation": 1, "count": 900, "level": 100, "window_s": 8},
            )
        )


def run(findings: int) -> Outcome:
    """Run the storm as fast as it goes and measure."""
    rules = load_rules()
    settings = RespondSettings()
    responder = Responder(settings, lambda: rules, VerdictPolicy(settings, lambda _: 0.5))
    alerts: Counter[str] = Counter()
    real: set[str] = set()
    storm_alerts, last = 0, None
    verdicts = 0
    busy_s = worst_s = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for chunk in _chunks(storm(findings)):
        started_s = time.perf_counter()
        outs = [out for value in chunk for out in responder.take_finding(value)]
        took_s = time.perf_counter() - started_s
        busy_s, worst_s = busy_s + took_s, max(worst_s, took_s)
        for out in outs:
            if out.topic != ALERTS:
                verdicts += 1
                continue
            alert = msgspec.json.decode(out.value or b"{}")
            alerts[alert["reason"]] += 1
            if alert["kind"] == "extraction":
                real.add(alert["incident"])
            else:
                storm_alerts, last = storm_alerts + 1, alert
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # Two quiet hours later.
    moment_us = int((_BEGAN.timestamp() + 7200) * 1e6)
    for out in responder.advance(moment_us):
        if out.topic == ALERTS:
            alert = msgspec.json.decode(out.value or b"{}")
            alerts[alert["reason"]] += 1
            if alert["kind"] == "burst":
                storm_alerts, last = storm_alerts + 1, alert
    told = last or {}
    return Outcome(
        findings=findings,
        clients=min(CLIENTS, findings),
        alerts=dict(alerts),
        verdicts=verdicts,
        real_found=len(real),
        storm_alerts=storm_alerts,
        storm_clients_told=told.get("subjects_total", 0),
        storm_findings_told=told.get("findings_total", 0),
        busy_s=round(busy_s, 2),
        findings_per_s=round(findings / busy_s),
        worst_chunk_s=round(worst_s, 4),
        grown_bytes=grown * 1024,
    )


def _chunks(values: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def main() -> None:
    """Run and print one JSON object."""
    findings = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(run(findings))).decode() + "\n")


if __name__ == "__main__":
    main()
