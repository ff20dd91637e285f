"""A table of a million verdicts: warm start, look-ups in the process and over REST, updates.

``python -m benchmarks.respond.verdicts`` starts a broker of its own in a temporary directory.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from config.respond import VerdictsSettings
from config.settings import KafkaSettings, Settings
from streams.admin import apply_topics
from streams.broker import ensure_running, stop
from streams.broker.ports import free_port
from streams.producer import Producer
from streams.respond.times import iso
from streams.respond.verdicts import Verdict
from streams.topics import VERDICTS
from streams.verdicts.server import VerdictServer

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_UPS = 200_000
REQUESTS = 30_000
UPDATES = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; medians and 99th percentiles in the unit of the name."""

    entries: int
    warm_start_s: float
    lookup_p50_us: float
    lookup_p99_us: float
    rest_p50_ms: float
    rest_p99_ms: float
    update_p50_s: float
    update_worst_s: float
    peak_rss_bytes: int


def _verdict(number: int) -> Verdict:
    now = datetime.now(UTC)
    return Verdict(
        client=_client(number),
        action="block",
        since=iso(now),
        effective=iso(now),
        until=iso(now + timedelta(hours=6)),
        reason="extraction",
        severity="critical",
        finding=f"{number:032x}",
        model="fraud-scoring",
        tenant="t1",
        shadow=False,
    )


def _client(number: int) -> str:
    return f"u1_{number:026x}"


async def _fill(settings: Settings, entries: int) -> None:
    producer = Producer(settings.kafka)
    await producer.start()
    try:
        for number in range(entries):
            await _send(producer, number)
    finally:
        await producer.stop()


async def _send(producer: Producer, number: int) -> None:
    value = msgspec.json.encode(_verdict(number))
    await producer.send(VERDICTS, value, key=_client(number).encode())


async def _measure(settings: Settings, entries: int) -> Outcome:
    server = VerdictServer(settings)
    started = asyncio.Event()
    began_s = time.perf_counter()
    task = asyncio.create_task(server.run(started))
    await started.wait()
    await server.follower.warm.wait()
    warm_s = time.perf_counter() - began_s
    listed = settings.verdicts.envoy_file
    while listed is not None and not listed.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    try:
        now = iso(datetime.now(UTC))
        step = max(1, entries // LOOK_UPS)
        look_ups = _timed(
            lambda number: server.table.ask(_client(number), now), range(0, entries, step)
        )
        rest = await _rest(server.port, entries)
        updates = await _updates(settings, server, entries)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return Outcome(
        entries=len(server.table) - UPDATES,
        warm_start_s=round(warm_s, 2),
        lookup_p50_us=round(_percentile(look_ups, 0.5) * 1e6, 2),
        lookup_p99_us=round(_percentile(look_ups, 0.99) * 1e6, 2),
        rest_p50_ms=round(_percentile(rest, 0.5) * 1e3, 3),
        rest_p99_ms=round(_percentile(rest, 0.99) * 1e3, 3),
        update_p50_s=round(_percentile(updates, 0.5), 3),
        update_worst_s=round(max(updates), 3),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _timed(ask: Callable[[int], object], numbers: range) -> list[float]:
    took_s = []
    for number in numbers:
        started_s = time.perf_counter()
        ask(number)
        took_s.append(time.perf_counter() - started_s)
    return took_s


async def _rest(port: int, entries: int) -> list[float]:
    took_s = []
    async with aiohttp.ClientSession() as session:
        for number in range(REQUESTS):
            client = _client(number * entries // REQUESTS)
            started_s = time.perf_counter()
            async with session.get(f"http://127.0.0.1:{port}/v1/verdicts/{client}") as answer:
                await answer.read()
            took_s.append(time.perf_counter() - started_s)
    return took_s


async def _updates(settings: Settings, server: VerdictServer, entries: int) -> list[float]:
    """Return how long after it was sent an update is in the table."""
    producer = Producer(settings.kafka)
    await producer.start()
    took_s = []
    try:
        for number in range(entries, entries + UPDATES):
            started_s = time.perf_counter()
            await _send(producer, number)
            while server.table.tenant_of(_client(number)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            took_s.append(time.perf_counter() - started_s)
    finally:
        await producer.stop()
    return took_s


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Run and print one JSON object."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            home=Path(home),
            kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}"),
            # With an adapter, which looks for blocked clients again and again.
            verdicts=VerdictsSettings(port=0, envoy_file=Path(home) / "blocked.json"),
        )
        ensure_running(settings)
        try:
            apply_topics(settings)
            asyncio.run(_fill(settings, entries))
            outcome = asyncio.run(_measure(settings, entries))
        finally:
            stop(settings)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(outcome)).decode() + "\n")


if __name__ == "__main__":
    main()
