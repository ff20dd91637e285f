"""What arrives: signed golden bodies, cut to the limits, and the end of what began."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import REGISTRY as METRICS
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from config.respond import (
    WebhookSettings,
)
from detectors.finding import Subject
from streams.notify.base import Delivered
from streams.notify.webhook import WebhookNotifier
from streams.selfwatch.alerts import watch_alert
from streams.selfwatch.judge import Trouble
from tests.contract.notifiers import (
    LIMITS,
    NOTIFIERS,
    NOW_S,
    SECRET,
    Receiver,
    alertmanager,
    common,
    huge,
    send,
    serving,
    slack,
    webhook,
)
from tests.unit.respond.samples import alert

GOLDEN = Path(__file__).parent / "golden"


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
