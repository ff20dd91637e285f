"""Respond: findings become alerts, verdicts and deliveries.

Kafka is the outbox: this role only writes alerts to their topic. Beside it, one task a webhook
reads that topic with a consumer group of its own and delivers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from config.errors import PoisonRecord
from detectors.finding import Finding
from streams.dlq import DeadLetters
from streams.notify.delivery import Delivery
from streams.notify.webhook import WebhookNotifier
from streams.producer import Producer
from streams.respond.alerts import ALERT_TYPE, alert_of
from streams.respond.times import event_time
from streams.respond.verdict_log import load_verdicts
from streams.respond.verdicts import VerdictBook, verdicts_of
from streams.roles.background import Background
from streams.topics import ALERTS, FINDINGS, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from config.settings import Settings
    from streams.respond.verdicts import Verdict
    from streams.roles.base import Chunk, Partition, Record

VERDICT_TYPE = "io.vedette.verdict.v1"
SOURCE = "vedette/respond"
#: Findings whose repetition is recognised; a repeated older one raises the same alert again.
REMEMBERED_FINDINGS = 65_536

_findings = msgspec.json.Decoder(Finding)
_encoder = msgspec.json.Encoder()


class RespondRole:
    """Turns findings into alerts and verdicts, and runs the webhooks."""

    name = "respond"
    topics = (FINDINGS,)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(settings.kafka)
        self._dead_letters = DeadLetters(self._producer, group=f"vedette-{self.name}")
        self._verdicts = VerdictBook()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._background = Background()
        # Built here, so that a wrong URL or secret stops the worker before it joins a group.
        self._deliveries = {
            webhook.name: Delivery(WebhookNotifier(webhook), settings.kafka, settings.respond)
            for webhook in settings.respond.webhooks
        }

    async def start(self) -> None:
        """Connect and start the deliveries."""
        await self._producer.start()
        for name, delivery in self._deliveries.items():
            self._background.spawn(delivery.run(), name=f"webhook {name}")

    async def assigned(self, partitions: set[Partition]) -> None:
        """Take over the verdicts that hold."""
        if partitions:
            await load_verdicts(self._verdicts, self._settings.kafka)

    async def process(self, chunk: Chunk) -> None:
        """Raise the alerts of a chunk; acknowledge when the broker has them."""
        self._background.check()
        sent: list[Awaitable[object]] = []
        findings: dict[str, None] = {}
        for record in chunk.records:
            try:
                finding = decode_finding(record)
            except PoisonRecord as error:
                sent.append(await self._dead_letters.send(record, error, self.name))
                continue
            if finding.id not in self._seen and finding.id not in findings:
                findings[finding.id] = None
                sent.extend(await self._respond(finding))
        await asyncio.gather(*sent)
        self._remember(findings)
        chunk.ack()

    async def release(self, partitions: set[Partition]) -> None:
        """Do nothing: every chunk is acknowledged when it has been processed."""

    async def stop(self) -> None:
        """Stop the deliveries and disconnect."""
        await self._background.cancel()
        await self._producer.stop()
        self._background.check()

    async def _respond(self, finding: Finding) -> list[Awaitable[object]]:
        alert = alert_of(finding)
        key = (finding.subject.ids or (finding.model,))[0].encode()
        headers = _headers(ALERT_TYPE, alert.id)
        sent: list[Awaitable[object]] = [
            await self._producer.send(ALERTS, _encoder.encode(alert), key=key, headers=headers)
        ]
        for client in self._verdicts.expire(event_time(finding.time)):
            sent += [await self._producer.send(VERDICTS, None, key=client.encode())]
        respond = self._settings.respond
        judged = verdicts_of(finding, ttl_s=respond.verdict_ttl_s, shadow=respond.verdict_shadow)
        for verdict in map(self._verdicts.judge, judged):
            sent += [await self._send_verdict(verdict)]
        return sent

    async def _send_verdict(self, verdict: Verdict) -> Awaitable[object]:
        return await self._producer.send(
            VERDICTS,
            _encoder.encode(verdict),
            key=verdict.client.encode(),
            headers=_headers(VERDICT_TYPE, verdict.finding),
        )

    def _remember(self, findings: dict[str, None]) -> None:
        self._seen.update(findings)
        while len(self._seen) > REMEMBERED_FINDINGS:
            self._seen.popitem(last=False)


def decode_finding(record: Record) -> Finding:
    """Decode the finding of a record.

    Raises
    ------
    PoisonRecord
        If it is none.
    """
    if record.value is None:
        raise PoisonRecord("null_value", "a finding needs a value")
    try:
        finding = _findings.decode(record.value)
    except msgspec.ValidationError:
        raise PoisonRecord("bad_finding", "the JSON does not follow finding.v1") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PoisonRecord("bad_json", "a finding is JSON") from None
    event_time(finding.time)
    return finding


def _headers(kind: str, identity: str) -> list[tuple[str, bytes]]:
    return [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_id", identity.encode()),
    ]


def make(settings: Settings) -> RespondRole:
    """Build the role."""
    return RespondRole(settings)
