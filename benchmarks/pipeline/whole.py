"""The whole pipeline at full speed, and how late its alerts are at half of that."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.errors import BenchmarkError
from benchmarks.pipeline.events import Benign, Event, Poster, client_names
from streams.identity import load_pseudonyms
from streams.kafka import aiokafka_options
from streams.respond.alerts import Alert
from streams.respond.times import event_time
from streams.topics import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.pipeline.plan import Plan
    from benchmarks.pipeline.roles import RoleProcess
    from config.settings import Settings

_POLL_S = 0.1
_TIMEOUT_S = 600.0
_SETTLE_S = 10.0
_MIN_PACE_S = 0.002
_ATTACKER = "attacker-{}"


async def run_whole(
    roles: Sequence[RoleProcess], database: Path, events: int, progress: Callable[[float], None]
) -> float:
    """Let held roles work off their input; return events/s until the last is in the database.

    Raises
    ------
    BenchmarkError
        If a role ends, or they do not get there.
    """
    before = _stored(database)
    began_s = time.monotonic()
    for role in roles:
        role.go()
    while (stored := _stored(database) - before) < events:
        for role in roles:
            role.check()
        if time.monotonic() - began_s > _TIMEOUT_S:
            raise BenchmarkError(f"only {stored} of {events} events were indexed")
        progress(stored / events)
        await asyncio.sleep(_POLL_S)
    progress(1.0)
    return events / (time.monotonic() - began_s)


def _stored(database: Path) -> int:
    """Return the number of documents; alerts, which are few, count too late rather than early."""
    if not database.exists():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        alerts = "SELECT count(*) FROM documents INDEXED BY alerts_rule_ts WHERE kind = 'alert'"
        last = connection.execute("SELECT max(seq) FROM documents").fetchone()[0] or 0
        return int(last) - int(connection.execute(alerts).fetchone()[0])
    except sqlite3.OperationalError:  # the role is just making its tables
        return 0
    finally:
        connection.close()


class Attacked(NamedTuple):
    """Ordinary traffic with attackers in it, on a schedule."""

    benign: Benign
    noise: list[bytes]
    plan: Plan
    rate: float

    def events(self, start_us: int) -> Iterator[Event]:
        """Yield events in the order of their times; attackers join one after the other."""
        count = int(self.rate * self.plan.latency_s)
        who, what = self.benign.choose(count)
        rng = np.random.default_rng(self.benign.seed + 1)
        share = self.plan.attackers * self.plan.per_client_rate / self.rate
        attacks = rng.random(count) < share
        attacker = rng.integers(0, self.plan.attackers, count)
        picture = rng.integers(0, len(self.noise), count)
        joined_us = np.linspace(0, 0.8 * self.plan.latency_s, self.plan.attackers) * 1e6
        for number in range(count):
            after_us = int(number * 1e6 / self.rate)
            if attacks[number] and after_us >= joined_us[attacker[number]]:
                client = _ATTACKER.format(attacker[number])
                body = self.noise[picture[number]]
            else:
                client = self.benign.clients[who[number]]
                body = self.benign.pool[what[number]]
            yield Event(number, start_us + after_us, client, body)


async def alert_latency(
    settings: Settings, attacked: Attacked, progress: Callable[[float], None]
) -> dict[str, float]:
    """Post traffic at its pace; return how long after the event the alert was sent.

    The time of an event is when it should have been posted, also if posting was late: what
    waits in the sender is latency too.

    Raises
    ------
    BenchmarkError
        If no attacker was noticed.
    """
    names = load_pseudonyms(settings)
    attackers = {
        names.of("client", _ATTACKER.format(number)) for number in range(attacked.plan.attackers)
    }
    async with asyncio.TaskGroup() as group:
        heard = asyncio.Event()
        stop = asyncio.Event()
        listening = group.create_task(_listen(settings, attackers, heard, stop))
        await heard.wait()
        late_s = await _post(settings, attacked, progress)
        await asyncio.sleep(_SETTLE_S)
        stop.set()
    found = listening.result()
    latencies = np.array([latency for _, latency in found])
    if not len(latencies):
        raise BenchmarkError("no attacker was noticed while latency was measured")
    return {
        "p50": float(np.quantile(latencies, 0.5)),
        "p99": float(np.quantile(latencies, 0.99)),
        "max": float(latencies.max()),
        "alerts": float(len(latencies)),
        "attackers_noticed": float(len({client for client, _ in found})),
        "rate": attacked.rate,
        "sender_late_s": late_s,
    }


async def _post(settings: Settings, attacked: Attacked, progress: Callable[[float], None]) -> float:
    """Post on schedule; return how late the sender was at worst."""
    poster = Poster(settings)
    await poster.start()
    worst_s, length_us = 0.0, attacked.plan.latency_s * 1e6
    start_us = time.time_ns() // 1000
    try:
        for event in attacked.events(start_us):
            ahead_s = event.time_us / 1e6 - time.time()
            if ahead_s > _MIN_PACE_S:
                progress((event.time_us - start_us) / length_us)
                await asyncio.sleep(ahead_s)
            worst_s = max(worst_s, -ahead_s)
            await poster.post(event)
    finally:
        await poster.stop()
    progress(1.0)
    return worst_s


async def _listen(
    settings: Settings, attackers: set[str], heard: asyncio.Event, stop: asyncio.Event
) -> list[tuple[str, float]]:
    """Return attacker and latency of each alert until ``stop``."""
    decode = msgspec.json.Decoder(Alert).decode
    found: list[tuple[str, float]] = []
    consumer = AIOKafkaConsumer(**aiokafka_options(settings.kafka))
    await consumer.start()
    try:
        partition = TopicPartition(ALERTS, 0)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        await consumer.position(partition)
        heard.set()
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    alert = decode(record.value)
                    subject = alert.subject.ids[0]
                    if subject in attackers:
                        sent_s = record.timestamp / 1000
                        found.append((subject, sent_s - event_time(alert.time).timestamp()))
    finally:
        await consumer.stop()
    return found


def ordinary(pool: list[bytes], plan: Plan, rate: float) -> Benign:
    """Return as many ordinary clients as make up ``rate``, each at its usual pace."""
    return Benign(pool, client_names(max(10, round(rate / plan.per_client_rate))), seed=5)
