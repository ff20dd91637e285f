"""What every notifier owes: outcomes by status, bounded time, signed golden bodies, no leaks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY as METRICS
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from config.errors import ConfigError
from config.respond import (
    AlertmanagerSettings,
    CloudEventsSettings,
    PagerDutySettings,
    SlackSettings,
    WebhookSettings,
)
from detectors.finding import Subject, Technique
from streams.notify.alertmanager import AlertmanagerNotifier
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.cloudevents import CloudEventsNotifier
from streams.notify.http import outcome_of
from streams.notify.pagerduty import PagerDutyNotifier
from streams.notify.retry import RetryStage
from streams.notify.sinks import NOTIFIERS as REGISTRY
from streams.notify.slack import SlackNotifier
from streams.notify.webhook import WebhookNotifier
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.judge import Trouble
from tests.contract.leaks import assert_no_leak
from tests.unit.respond.samples import alert

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATH = "/hooks/T0KEN-in-the-path"
QUERY = "key=QUERY-T0KEN"
GOLDEN = Path(__file__).parent / "golden"


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


def test_every_notifier_of_the_registry_has_a_contract():
    #: Those that do not speak HTTP have theirs in files of their own.
    elsewhere = {"smtp": "test_smtp.py", "kafka": "test_kafka_sink.py"}
    assert all((Path(__file__).parent / name).exists() for name in elsewhere.values())
    assert {name.partition("-")[0] for name in NOTIFIERS} | elsewhere.keys() == REGISTRY.keys()


@pytest.fixture(params=NOTIFIERS)
def make(request):
    return NOTIFIERS[request.param]


async def send(make, port, **options):
    notifier = make(port, **options)
    await notifier.start()
    try:
        return await notifier.notify(alert())
    finally:
        await notifier.close()


REFUSED_PAYLOAD = {400, 406, 411, 413, 414, 415, 422, 431}
SLOW_DOWN = {408, 425, 429, 502, 503, 504}


def expected(status):
    if 200 <= status < 300:
        return Delivered()
    if status == HTTPStatus.GONE:
        return Gone()
    if status in REFUSED_PAYLOAD:
        return Permanent("refused_payload")
    if status in SLOW_DOWN:
        return RetryLater("slow_down")
    if status >= 500:
        return RetryLater("server_error")
    return RetryLater("redirect" if status < 400 else "client_error")


async def test_every_status_has_its_outcome(make):
    async with serving(Receiver()) as receiver:
        notifier = make(receiver.port)
        await notifier.start()
        for status in [item.value for item in HTTPStatus if item >= 200] + [299, 420, 499, 599]:
            receiver.status = status
            assert await notifier.notify(alert()) == expected(status), status
        await notifier.close()


def test_every_number_that_a_server_can_answer_has_its_outcome():
    now = datetime.now(UTC)
    for status in range(200, 600):
        assert outcome_of(status, None, now) == expected(status), status


async def test_redirects_are_not_followed(make):
    async with serving(Receiver()) as target, serving(Receiver(status=307)) as receiver:
        receiver.headers = {"Location": f"http://127.0.0.1:{target.port}/"}
        assert await send(make, receiver.port) == RetryLater("redirect")
        assert target.got == []


@pytest.mark.parametrize("status", [429, 503, 500, 404])
async def test_retry_after_is_passed_on(make, status):
    async with serving(Receiver(status=status, headers={"Retry-After": "17"})) as receiver:
        outcome = await send(make, receiver.port)
    assert outcome.after_s == 17


async def test_retry_after_may_be_a_date(make):
    then = datetime.now(UTC) + timedelta(seconds=100)
    headers = {"Retry-After": then.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    async with serving(Receiver(status=429, headers=headers)) as receiver:
        outcome = await send(make, receiver.port)
    assert 95 < outcome.after_s <= 100


async def test_a_refused_connection_is_tried_again(make, unused_tcp_port):
    assert await send(make, unused_tcp_port) == RetryLater("connection")


async def test_a_slow_answer_is_cut_off(make):
    async with serving(Receiver(stall=asyncio.Event())) as receiver:
        started = time.monotonic()
        assert await send(make, receiver.port, timeout_s=0.2) == RetryLater("timeout")
        assert time.monotonic() - started < 2


async def raw(answer, *, stay_open):
    """Serve raw bytes, then close or hold the connection."""
    done = asyncio.Event()

    async def connected(reader, writer):
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        if stay_open:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return server, done


@pytest.mark.parametrize(
    ("answer", "stay_open", "reason"),
    [
        (b"", True, "timeout"),
        (b"HTTP/1.1 200", True, "timeout"),
        (b"", False, "connection"),
        (b"HTTP/1.1 200", False, "connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False, "connection"),
    ],
    ids=["silent", "half an answer", "closed", "torn", "not http"],
)
async def test_half_open_and_torn_connections_are_tried_again(make, answer, stay_open, reason):
    server, done = await raw(answer, stay_open=stay_open)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await send(make, port, timeout_s=0.2) == RetryLater(reason)
    finally:
        done.set()
        server.close()
        await server.wait_closed()


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


async def test_an_unknown_certificate_is_refused_before_anything_is_sent(make, tmp_path):
    async with serving(Receiver(), tls=self_signed(tmp_path)) as receiver:
        assert await send(make, receiver.port, scheme="https") == RetryLater("tls")
        assert receiver.got == []


async def test_a_name_that_resolves_to_loopback_is_refused(make):
    async with serving(Receiver()) as receiver:
        outcome = await send(
            make, receiver.port, scheme="https", host="localhost", allow_private=False
        )
        assert outcome == RetryLater("address_refused")
        assert receiver.got == []


@pytest.mark.parametrize(
    ("scheme", "host"),
    [
        ("http", "example.org"),
        ("https", "127.0.0.1"),
        ("https", "[::1]"),
        ("https", "169.254.169.254"),
        ("https", "2130706433"),
        ("https", "127.1"),
        ("ftp", "example.org"),
    ],
)
def test_a_forbidden_address_is_refused_at_the_start(make, scheme, host):
    with pytest.raises(ConfigError, match="contract: the URL") as caught:
        make(443, scheme=scheme, host=host, allow_private=False)
    assert_no_leak(SECRETS, [caught.value, *caught.value.args])


async def test_the_reference_package_verifies_what_arrives():
    async with serving(Receiver()) as receiver:
        await send(webhook, receiver.port)
    ((headers, body),) = receiver.got
    Webhook(SECRET).verify(body, headers)
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["webhook-id"] == alert().id
    assert lower["content-type"] == "application/json"
    assert "." not in alert().id


async def test_an_ed25519_signature_verifies_with_the_public_key():
    private = Ed25519PrivateKey.generate()
    seed = private.private_bytes_raw()
    key = f"whsk_{base64.b64encode(seed).decode()}"
    async with serving(Receiver()) as receiver:
        settings = WebhookSettings(**common(receiver.port), secret=SecretStr(f"{key} {SECRET}"))
        notifier = WebhookNotifier(settings)
        await notifier.notify(alert())
        await notifier.close()
    ((headers, body),) = receiver.got
    asymmetric, symmetric = headers["webhook-signature"].split()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64decode(asymmetric.removeprefix("v1a,"))
    private.public_key().verify(signature, signed)
    # While keys rotate, a receiver that knows only the shared secret still verifies.
    assert symmetric.startswith("v1,")
    Webhook(SECRET).verify(body, {**headers, "webhook-signature": symmetric})


async def test_a_repetition_has_the_same_id_and_body_but_its_own_time():
    async with serving(Receiver(status=500)) as receiver:
        notifier = webhook(receiver.port)
        moments = iter([1000.0, 2000.0])
        notifier._clock = lambda: next(moments)
        await notifier.start()
        await notifier.notify(alert())
        await notifier.notify(alert())
        await notifier.close()
    (first, first_body), (second, second_body) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert first_body == second_body
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1000", "2000")


@pytest.mark.parametrize("name", NOTIFIERS)
async def test_the_body_is_the_golden_one(name):
    async with serving(Receiver()) as receiver:
        await send(NOTIFIERS[name], receiver.port)
    ((_, body),) = receiver.got
    assert msgspec.json.format(body) == (GOLDEN / f"{name}.json").read_bytes().rstrip()


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


@pytest.mark.parametrize("name", NOTIFIERS)
async def test_a_huge_alert_is_cut_to_the_limit_and_counted(name):
    before = truncated()
    async with serving(Receiver()) as receiver:
        notifier = NOTIFIERS[name](receiver.port)
        outcome = await notifier.notify(huge())
        await notifier.close()
    assert outcome == Delivered()
    ((_, body),) = receiver.got
    assert len(body) <= LIMITS[name]
    assert truncated() > before or len(body) < LIMITS[name]
    msgspec.json.decode(body)


def truncated():
    labels = {"notifier": "contract"}
    return METRICS.get_sample_value("vedette_notifications_truncated_total", labels) or 0


async def test_what_is_cut_is_said(make):
    clients = tuple(f"u1_{number}" for number in range(50))
    async with serving(Receiver()) as receiver:
        notifier = make(receiver.port)
        await notifier.notify(alert(subject=Subject(type="campaign", ids=clients)))
        await notifier.close()
    ((_, body),) = receiver.got
    assert b"50" in body or b"49 more" in body


async def test_the_end_of_an_incident_ends_it_there_too():
    ended = msgspec.structs.replace(alert(), state="resolved", reason="resolved")
    got = {}
    for name in ("pagerduty", "alertmanager"):
        async with serving(Receiver()) as receiver:
            for item in (alert(), ended):
                notifier = NOTIFIERS[name](receiver.port)
                await notifier.notify(item)
                await notifier.close()
        got[name] = [msgspec.json.decode(body) for _, body in receiver.got]
    began, over = got["pagerduty"]
    assert (began["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert began["dedup_key"] == over["dedup_key"]
    ((firing,), (resolved, *_)) = got["alertmanager"]
    assert firing["labels"] == resolved["labels"]
    assert firing["endsAt"] > "2026-11-22T10:00:05" == resolved["endsAt"][:19]


async def test_a_sign_of_life_ends_by_itself_in_alertmanager():
    beat = watch_alert(Trouble("heartbeat", "respond", "alive"), "heartbeat", NOW_S, NOW_S)
    async with serving(Receiver()) as receiver:
        notifier = alertmanager(receiver.port)
        await notifier.notify(beat)
        await notifier.close()
    ((posted,),) = [msgspec.json.decode(body) for _, body in receiver.got]
    assert posted["labels"]["alertname"] == "heartbeat"
    assert posted["endsAt"] == "2026-11-22T10:05:05.000000Z"


async def test_text_from_traffic_is_no_markup_for_slack():
    nasty = alert(model="<!channel> *bold* <http://evil|click>")
    async with serving(Receiver()) as receiver:
        notifier = slack(receiver.port)
        await notifier.notify(nasty)
        await notifier.close()
    ((_, body),) = receiver.got
    message = msgspec.json.decode(body)
    assert "<" not in message["text"]
    assert b"mrkdwn" not in body


FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"port": 1},
    "server error": {"status": 500},
    "gone": {"status": 410},
    "bad request": {"status": 400},
    "timeout": {"stall": True},
    "tls": {"scheme": "https"},
    "unresolvable": {"host": "no-such-host.invalid"},
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_no_failure_tells_the_secret_or_the_address(make, failure, caplog):
    told = FAILURES[failure]
    caplog.set_level(logging.DEBUG)

    async def sleep(seconds):
        await asyncio.sleep(0)

    stall = asyncio.Event() if told.get("stall") else None
    async with serving(Receiver(status=told.get("status", 200), stall=stall)) as receiver:
        options = {key: told[key] for key in ("scheme", "host") if key in told}
        notifier = make(told.get("port", receiver.port), timeout_s=0.1, **options)
        await notifier.start()
        with capture_logs() as logs:
            await RetryStage(notifier, (0.0,), sleep=sleep).deliver(alert())
            outcome = await notifier.notify(alert())
        await notifier.close()
    assert logs
    # aiohttp's own server logs the path of what it was asked; it is the other side here.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("aiohttp.")]
    assert_no_leak(SECRETS, [*logs, *ours, outcome, notifier])


def test_the_leak_assertion_itself_works():
    with pytest.raises(AssertionError, match="secret 0 leaked"):
        assert_no_leak(SECRETS, [f"cannot connect with {SECRET[:14]}"])
