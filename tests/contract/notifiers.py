"""Every notifier over HTTP, a receiver for it, and the largest alert that there can be."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from config.respond import (
    AlertmanagerSettings,
    CloudEventsSettings,
    PagerDutySettings,
    SlackSettings,
    WebhookSettings,
)
from detectors.finding import Subject, Technique
from streams.notify.alertmanager import AlertmanagerNotifier
from streams.notify.cloudevents import CloudEventsNotifier
from streams.notify.pagerduty import PagerDutyNotifier
from streams.notify.slack import SlackNotifier
from streams.notify.webhook import WebhookNotifier
from tests.unit.respond.samples import alert

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATH = "/hooks/T0KEN-in-the-path"
QUERY = "key=QUERY-T0KEN"


@dataclass
class Receiver:
    """A loopback server that answers as told and remembers what it got."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stall: asyncio.Event | None = None
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((dict(request.headers), await request.read()))
        if self.stall is not None:
            await self.stall.wait()
        return web.Response(status=self.status, headers=self.headers, body=b"")


@contextlib.asynccontextmanager
async def serving(receiver, tls=None):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.port = site._server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        if receiver.stall is not None:
            receiver.stall.set()
        await runner.cleanup()


def common(port, *, scheme="http", timeout_s=5.0, host="127.0.0.1", allow_private=True):
    return {
        "name": "contract",
        "url": SecretStr(f"{scheme}://{host}:{port}{PATH}?{QUERY}"),
        "timeout_s": timeout_s,
        "allow_private": allow_private,
    }


#: When the notifiers that write the time of the attempt believe it is.
NOW_S = 1_795_341_605.0


def webhook(port, **options):
    settings = WebhookSettings(**common(port, **options), secret=SecretStr(SECRET))
    return WebhookNotifier(settings)


def alertmanager(port, **options):
    settings = AlertmanagerSettings(
        type="alertmanager", **common(port, **options), token=SecretStr(SECRET)
    )
    return AlertmanagerNotifier(settings, clock=lambda: NOW_S)


def pagerduty(port, **options):
    return PagerDutyNotifier(
        PagerDutySettings(
            type="pagerduty", **common(port, **options), routing_key=SecretStr(SECRET)
        )
    )


def slack(port, **options):
    return SlackNotifier(SlackSettings(type="slack", **common(port, **options)))


def cloudevents(port, mode="binary", **options):
    return CloudEventsNotifier(
        CloudEventsSettings(
            type="cloudevents", **common(port, **options), mode=mode, token=SecretStr(SECRET)
        )
    )


def structured(port, **options):
    return cloudevents(port, mode="structured", **options)


#: Name and factory; a new notifier over HTTP is one more line.
NOTIFIERS = {
    "webhook": webhook,
    "alertmanager": alertmanager,
    "pagerduty": pagerduty,
    "slack": slack,
    "cloudevents": cloudevents,
    "cloudevents-structured": structured,
}
SECRETS = (SECRET, PATH, QUERY)
#: Largest body each may send.
LIMITS = {
    "webhook": 19_999,
    "alertmanager": 256_000,
    "pagerduty": 512_000,
    "slack": 12_000,
    "cloudevents": 64_000,
    "cloudevents-structured": 64_000,
}


async def send(make, port, **options):
    notifier = make(port, **options)
    await notifier.start()
    try:
        return await notifier.notify(alert())
    finally:
        await notifier.close()


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = directory / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def huge():
    """Return an alert as large as any can be: every field at its bound, in four-byte letters."""
    wide = "\U0001d54f" * 2000
    evidence = {f"{number}{wide}": float(number) for number in range(200)}
    evidence["interactions"] = [f"{number}{wide}" for number in range(100)]
    clients = tuple(f"{number}{wide}" for number in range(100))
    techniques = tuple(Technique(id=wide, name=wide, edition=wide) for _ in range(100))
    return alert(
        model=wide,
        tenant=wide,
        evidence=evidence,
        subject=Subject(type="campaign", ids=clients),
        atlas=techniques,
        owasp=techniques,
        log_e=1e308,
    )
